//! Connections and TLS: one takes the place of the other.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Connection;
use crate::error::Error;
use crate::tls;

impl Connection {
    /// Begins with TLS (RFC 3080 §3.1), and waits for the greeting of the connection that takes the place of this one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// # use beep_session::{Channel, Profiles};
    /// use beep_session::tls::{ClientOptions, Identity, ServerOptions, Trust};
    /// use beep_session::{ConnectOptions, Connection, ErrorReply, ReplyCode, Server, Services};
    ///
    /// # async fn echo(channel: Channel) { while let Some(message) = channel.recv().await { drop(message) } }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let generated = rcgen::generate_simple_self_signed(["host.example".to_owned()])?;
    /// # let (certificate, key) = (generated.cert.pem(), generated.signing_key.serialize_pem());
    /// let services = Services::new();
    /// let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes())?;
    /// services.serve_tls(move |server_name| {
    ///     let identity = identity.clone();
    ///     async move {
    ///         match server_name.as_deref() {
    ///             Some("host.example") => Ok(ServerOptions::new(identity)),
    ///             _ => Err(ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "no such server")),
    ///         }
    ///     }
    /// });
    /// let options = beep_session::ServerOptions { services: Arc::new(services), ..Default::default() };
    /// let profiles = Profiles::new().serve("urn:example:echo", echo);
    /// let server = Server::bind("127.0.0.1", 0, profiles, options).await?;
    ///
    /// let port = server.local_addr().port();
    /// let connection = Connection::connect("127.0.0.1", port, ConnectOptions::default()).await?;
    /// let options = ClientOptions {
    ///     server_name: Some("host.example".to_owned()),
    ///     trust: Trust::from_pem(certificate.as_bytes())?,
    ///     identity: None,
    /// };
    /// let connection = connection.start_tls(options).await?;
    /// assert!(connection.tls().is_some_and(|tls| tls.version() == "TLSv1.3"));
    /// let channel = connection.open("urn:example:echo").await?;
    /// # channel.close().await?;
    /// # connection.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Without a server name in `options`, the certificate has to be that of the host connected to. Nobody is
    /// authenticated on the new connection, and its channels are new; what the peer may start is the same.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`]. After a refusal, and whatever else goes wrong ahead of the handshake, this connection is as it
    /// was; after a failed handshake it has ended. [`Error::Ended`]: TLS is in place, and the session over it ended before
    /// the peer's greeting.
    pub async fn start_tls(&self, options: tls::ClientOptions) -> Result<Connection, Error> {
        let (sender, receiver) = oneshot::channel();
        let router = self.router.clone();
        self.session.start_tls(options, move |outcome| {
            // If nobody waits any more, the connection is dropped here, and released.
            let _ = sender.send(
                outcome.and_then(|_| router.hold_successor().ok_or(tls::Error::SessionEnded)),
            );
        });
        let connection = receiver.await.unwrap_or(Err(tls::Error::SessionEnded))?;
        connection.greeted().await?;
        Ok(connection)
    }

    /// The connection that took the place of this one when TLS was put in place, whoever asked for it.
    ///
    /// A [`Server`](crate::Server) tells of it as of a new connection.
    pub fn successor(&self) -> Option<Connection> {
        self.router.next_connection()
    }

    /// What is known of the TLS that the connection runs over, or `None` if it runs over none.
    pub fn tls(&self) -> Option<Arc<tls::Info>> {
        self.session.tls()
    }
}
