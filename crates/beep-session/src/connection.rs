//! Connections: sessions as a program uses them.

mod security;

use std::sync::Arc;
use std::time::Duration;

use beep_core::{ChannelNumber, Config, ErrorReply, Greeting, ReplyCode, Role};
use tokio::time::{Instant, timeout_at};

use crate::application::End;
use crate::channel::Channel;
use crate::connect::connect;
use crate::error::Error;
use crate::listener::Admission;
use crate::profiles::Profiles;
use crate::router::{OnSuccession, Router};
use crate::services::Services;
use crate::session::{Addresses, Session, SessionOptions};
use crate::start_options::StartOptions;
use crate::transport::Transport;

/// How to connect, and what the peer may start here.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Time for resolving the name, connecting and the peer's greeting together. Default 60 s.
    pub limit: Duration,
    /// Limits and deadlines of the session.
    pub config: Arc<Config>,
    /// The name that the first start asks the peer to act under. Default: the host that is
    /// connected to.
    pub server_name: ServerName,
    /// What the peer may start on this side. Default nothing.
    pub profiles: Profiles,
    /// The profiles that the session serves itself. Default none.
    pub services: Arc<Services>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            limit: Duration::from_secs(60),
            config: Arc::default(),
            server_name: ServerName::default(),
            profiles: Profiles::default(),
            services: Arc::default(),
        }
    }
}

/// The `serverName` of the first start (RFC 3080 §2.3.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerName {
    /// The host that is connected to, as it was given; over a transport of one's own there is none.
    #[default]
    Host,
    /// This name.
    Name(String),
    /// None.
    Omit,
}

/// A connection to a BEEP peer: a cheap handle, equal for all clones.
///
/// **Dropping the last handle of a connection that this side made releases the session in the
/// background**, and ends it when the peer does not agree. [`Channel`]s count as handles. Use
/// [`close`](Self::close) to learn what came of it. A connection that a [`Server`](crate::Server)
/// or [`Connection::accept`] took lives on without handles, until either side ends it.
#[derive(Clone, Debug)]
pub struct Connection {
    session: Session,
    router: Arc<Router>,
    /// Held for what dropping it does.
    _hold: Option<Arc<Hold>>,
}

/// Shared by the handles of a connection that was made here; releases the session when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    session: Session,
    router: Arc<Router>,
}

/// What a server adds to a connection that it accepted.
#[derive(Default)]
pub(crate) struct Accepting {
    pub(crate) addresses: Option<Addresses>,
    pub(crate) admission: Option<Admission>,
    pub(crate) refusal: Option<ErrorReply>,
    pub(crate) on_succession: Option<OnSuccession>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.session.is_alive() {
            self.router.abandon(&self.session);
        }
    }
}

impl Connection {
    pub(crate) fn new(session: Session, router: Arc<Router>, hold: Option<Arc<Hold>>) -> Self {
        Connection {
            session,
            router,
            _hold: hold,
        }
    }

    /// Connects to a BEEP listener and exchanges greetings with it.
    ///
    /// `host` may be a name or a numeric IPv4 or IPv6 address.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: the name has no address, or nobody takes the connection.
    /// [`Error::NoGreeting`]: somebody does and stays silent. [`Error::Refused`]: the peer sent an
    /// error in place of its greeting. [`Error::Ended`]: it hung up, or does not speak BEEP.
    pub async fn connect(
        host: &str,
        port: u16,
        options: ConnectOptions,
    ) -> Result<Connection, Error> {
        let deadline = deadline_after(options.limit);
        let limit = options.limit;
        let stream = connect(host, port, limit).await?;
        let addresses = Addresses::of(&stream);
        let connection = Connection::initiate(stream, addresses, Some(host), options);
        connection.wait_for_greeting(deadline, limit).await?;
        Ok(connection)
    }

    /// Begins a session as its initiator, over a transport that is in place already.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), save [`Error::Connect`].
    pub async fn over(
        transport: impl Transport + 'static,
        options: ConnectOptions,
    ) -> Result<Connection, Error> {
        let deadline = deadline_after(options.limit);
        let limit = options.limit;
        let connection = Connection::initiate(transport, None, None, options);
        connection.wait_for_greeting(deadline, limit).await?;
        Ok(connection)
    }

    /// Begins a session as its listener, over a transport that is in place already. Does not wait
    /// for the greeting.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime, as [`tokio::spawn`] does.
    pub fn accept(
        transport: impl Transport + 'static,
        profiles: Profiles,
        config: Arc<Config>,
    ) -> Connection {
        Connection::accept_with(transport, profiles, config, Arc::default())
    }

    /// [`accept`](Self::accept) with profiles that the session serves itself.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime, as [`tokio::spawn`] does.
    pub fn accept_with(
        transport: impl Transport + 'static,
        profiles: Profiles,
        config: Arc<Config>,
        services: Arc<Services>,
    ) -> Connection {
        Connection::listen(transport, profiles, config, services, Accepting::default())
    }

    pub(crate) fn listen(
        transport: impl Transport + 'static,
        profiles: Profiles,
        config: Arc<Config>,
        services: Arc<Services>,
        accepting: Accepting,
    ) -> Connection {
        let Accepting {
            addresses,
            admission,
            refusal,
            on_succession,
        } = accepting;
        let greeting = refusal.map_or_else(|| Ok(profiles.greeting()), Err);
        let router = Router::new(profiles, None, config.reply_timeout, on_succession);
        let options = SessionOptions {
            config,
            role: Role::Listener,
            greeting,
            addresses,
            admission,
            services,
            server_name: None,
        };
        let session = Session::spawn(transport, options, router.clone());
        Connection::new(session, router, None)
    }

    fn initiate(
        transport: impl Transport + 'static,
        addresses: Option<Addresses>,
        host: Option<&str>,
        options: ConnectOptions,
    ) -> Connection {
        let ConnectOptions {
            config,
            server_name,
            profiles,
            services,
            ..
        } = options;
        let server_name = match server_name {
            ServerName::Host => host.map(str::to_owned),
            ServerName::Name(name) => Some(name),
            ServerName::Omit => None,
        };
        let greeting = Ok(profiles.greeting());
        let router = Router::new(profiles, server_name, config.reply_timeout, None);
        let options = SessionOptions {
            config,
            role: Role::Initiator,
            greeting,
            addresses,
            admission: None,
            services,
            server_name: router.server_name.clone(),
        };
        let session = Session::spawn(transport, options, router.clone());
        Connection::held(session, router)
    }

    /// A connection that is released with its last handle.
    pub(crate) fn held(session: Session, router: Arc<Router>) -> Connection {
        let hold = Arc::new(Hold {
            session: session.clone(),
            router: router.clone(),
        });
        router.set_hold(&hold);
        Connection::new(session, router, Some(hold))
    }

    async fn wait_for_greeting(&self, deadline: Instant, limit: Duration) -> Result<(), Error> {
        match timeout_at(deadline, self.greeted()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.shutdown();
                Err(Error::NoGreeting { limit })
            }
        }
    }

    /// Waits for the peer's greeting, which is in place already on connections that were made here.
    ///
    /// # Errors
    ///
    /// The session ended without one.
    pub async fn greeted(&self) -> Result<Greeting, Error> {
        loop {
            let greeted = self.router.greeted().notified();
            tokio::pin!(greeted);
            greeted.as_mut().enable();
            if let Some(error) = self.router.end_error() {
                return Err(error);
            }
            if let Some(greeting) = self.session.peer_greeting() {
                return Ok(greeting);
            }
            greeted.await;
        }
    }

    /// Starts a channel with the profile `uri`.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub async fn open(&self, uri: impl Into<String>) -> Result<Channel, Error> {
        self.open_with(StartOptions::new(uri)).await
    }

    /// Starts a channel. What the peer's answer carried is in [`Channel::content`], the profile
    /// that it chose in [`Channel::profile`].
    ///
    /// ```no_run
    /// # async fn example(connection: beep_session::Connection) -> Result<(), beep_session::Error> {
    /// use beep_session::{ProfileContent, StartOptions};
    /// let start = StartOptions::new("urn:example:v2").content(ProfileContent::new("hello")).or("urn:example:v1");
    /// let channel = connection.open_with(start).await?;
    /// println!("{} says {:?}", channel.profile(), channel.content());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the peer's code and text, [`Error::NoAnswer`], [`Error::Usage`] for
    /// a start that cannot be sent, or the session is gone.
    pub async fn open_with(&self, options: StartOptions) -> Result<Channel, Error> {
        let mut request = options.request;
        request.server_name = request
            .server_name
            .or_else(|| self.router.server_name.clone());
        let answer = self.router.start(&self.session, request)?;
        answer
            .await
            .unwrap_or_else(|_| Err(self.router.explain(Error::Closing)))
    }

    /// The URIs of the profiles that the peer's greeting lists.
    pub fn peer_profiles(&self) -> Vec<String> {
        self.session
            .peer_greeting()
            .map(|greeting| greeting.profiles)
            .unwrap_or_default()
    }

    /// The `serverName` in force, fixed by the first start that was accepted with one.
    pub fn server_name(&self) -> Option<String> {
        self.session.server_name()
    }

    /// Local and remote address, where the transport has them.
    pub fn addresses(&self) -> Option<Addresses> {
        self.session.addresses()
    }

    /// The numbers of the open channels, ascending, without 0.
    pub fn channels(&self) -> Vec<ChannelNumber> {
        let mut numbers = self.session.channel_numbers();
        numbers.retain(|number| !number.is_management());
        numbers
    }

    /// Whether the session can still be used.
    pub fn is_alive(&self) -> bool {
        self.session.is_alive()
    }

    /// Closes every channel, releases the session and waits for its end (RFC 3080 §2.4).
    ///
    /// A session that has been released already is fine, whoever asked for it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] or [`Error::NoAnswer`]: the peer did not agree to the close of a channel
    /// or to the release; the session goes on, without the channels that were closed. Otherwise it
    /// came to an end that was not agreed to.
    pub async fn close(&self) -> Result<(), Error> {
        self.close_with(ReplyCode::SUCCESS, None).await
    }

    /// As [`close`](Self::close), with a reason for the peer.
    ///
    /// # Errors
    ///
    /// Those of [`close`](Self::close).
    pub async fn close_with(&self, code: ReplyCode, text: Option<String>) -> Result<(), Error> {
        let mailboxes = self.router.mailboxes();
        let closes: Vec<_> = mailboxes
            .iter()
            .map(|mailbox| mailbox.close(&self.session, code, text.clone()))
            .collect();
        for close in closes {
            self.router.outcome(close).await?;
        }
        let release = self.router.release(&self.session, code, text);
        self.router.outcome(release).await
    }

    /// Ends the session without asking: what is queued is offered to the transport once, then it is
    /// dropped.
    pub fn shutdown(&self) {
        self.session.shutdown();
    }

    /// Waits for the end of the session and says why it is over.
    pub async fn closed(&self) -> Arc<End> {
        self.router.ended().await
    }

    /// Why the session is over, or `None` while it lives.
    pub fn end(&self) -> Option<Arc<End>> {
        self.router.end().cloned()
    }

    /// Calls `callback` once when the session is over; at once if it is already.
    ///
    /// It runs on the task that drove the session, and must not block.
    pub fn on_close(&self, callback: impl FnOnce(&Arc<End>) + Send + 'static) {
        self.router.on_close(Box::new(callback));
    }

    /// The session below, for what this interface does not offer.
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.router
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

impl Eq for Connection {}

/// The moment `limit` from now, or as good as never.
fn deadline_after(limit: Duration) -> Instant {
    const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    Instant::now() + limit.min(FAR_AWAY)
}
