//! The same for a session that is authenticated and secured, and used on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beep_session::sasl::{Answer, Credentials, Identity, Mechanism};
use beep_session::tls::{ClientOptions, ServerOptions};
use beep_session::{ConnectOptions, Connection, Services};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::certificates::{Made, as_made, self_signed};
use crate::common::faults::{Fault, Faults, Watch, Way, pipe};
use crate::common::{ECHO, Ends, echo_profiles, until, within};
use crate::{Config, hasty};

const HOST: &str = "host.example";

fn services(made: &Made) -> Arc<Services> {
    let services = Services::new();
    for mechanism in [Mechanism::CramMd5, Mechanism::Plain] {
        services.serve_sasl(mechanism, |question| async move {
            match question.mechanism {
                Mechanism::Plain if question.password.as_deref() == Some("secret") => {
                    Answer::Accept
                }
                Mechanism::Plain => Answer::Deny,
                _ => Answer::Password("secret".to_owned()),
            }
        });
    }
    let identity = made.identity();
    services.serve_tls(move |_| {
        let options = ServerOptions::new(identity.clone());
        async move { Ok(options) }
    });
    Arc::new(services)
}

async fn authenticate(connection: &Connection, mechanism: Mechanism) -> Option<Identity> {
    let (sender, receiver) = oneshot::channel();
    let credentials = Credentials::new(mechanism, "bob").with_password("secret");
    connection.session().authenticate(&credentials, |outcome| {
        let _ = sender.send(outcome.ok());
    });
    // Whatever comes of it, somebody is told.
    receiver.await.unwrap()
}

async fn ask(connection: &Connection) -> Option<()> {
    let channel = connection.open(ECHO).await.ok()?;
    let reply = channel.request("hello").await.ok()?;
    assert_eq!(reply.payload(), "hello");
    Some(())
}

/// Everything, until something fails. The connections there were are left in `made`.
async fn use_session(
    client: &Connection,
    certificate: &Made,
    made: &Mutex<Option<(Connection, Ends)>>,
) -> Option<()> {
    authenticate(client, Mechanism::CramMd5).await?;
    ask(client).await?;
    let options = ClientOptions {
        server_name: Some(HOST.to_owned()),
        trust: certificate.trust(),
        identity: None,
    };
    let secured = client.start_tls(options).await.ok()?;
    *made.lock().unwrap() = Some((secured.clone(), Ends::of(&secured)));
    assert_eq!(secured.session().identity(), None);
    authenticate(&secured, Mechanism::Plain).await?;
    ask(&secured).await?;
    secured.close().await.ok()
}

/// Whether all went well, and how many octets passed. Each connection reports its end once, and nothing stays.
async fn run(faults: Faults, config: Config, certificate: Arc<Made>) -> (bool, Arc<Watch>) {
    let config = config.checked().unwrap();
    let (here, there, watch) = pipe(faults);
    let services = services(&certificate);
    let server = Connection::accept_with(there, echo_profiles(), config.clone(), services);
    let server_ends = Ends::of(&server);
    let options = ConnectOptions {
        config,
        ..ConnectOptions::default()
    };
    let mut is_whole = false;
    if let Ok(client) = within(Connection::over(here, options)).await {
        let ends = Ends::of(&client);
        let made = Mutex::new(None);
        is_whole = within(use_session(&client, &certificate, &made))
            .await
            .is_some();
        client.shutdown();
        ends.once(&client).await;
        let made = made.lock().unwrap().take();
        if let Some((secured, ends)) = made {
            secured.shutdown();
            ends.once(&secured).await;
        }
    }
    server_ends.once(&server).await;
    if let Some(next) = server.successor() {
        // It may have ended before anybody looked.
        within(next.closed()).await;
        assert!(next.session().peer_identity().is_none() || next.tls().is_some());
    }
    drop(server);
    until(|| watch.ends() == 0).await;
    (is_whole, watch)
}

/// Breaks the session behind every so many octets, both ways, many at once, as some wait for their deadlines.
async fn break_everywhere(fault: Fault, step: usize) {
    const AT_ONCE: usize = 64;
    // The request to release the session, and what follows it: a peer that hangs up then has released it, too.
    const RELEASE: usize = 200;
    let certificate = Arc::new(self_signed(HOST, as_made));
    let whole = run(Faults::default(), Config::default(), certificate.clone()).await;
    assert!(whole.0);
    let passed = [Way::There, Way::Back].map(|way| whole.1.passed(way));
    drop(whole);
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut running = JoinSet::new();
    for way in [Way::There, Way::Back] {
        assert!(passed[way as usize] > 1000);
        for position in (0..passed[way as usize]).step_by(step) {
            let at = Some((way, position, fault));
            let faults = Faults {
                at,
                ..Faults::default()
            };
            let soon = Duration::from_millis(400);
            let config = Config {
                tls_timeout: soon,
                authentication_timeout: soon,
                ..hasty()
            };
            let certificate = certificate.clone();
            let is_late = position + RELEASE > passed[way as usize];
            running.spawn(async move {
                let (is_whole, _) = run(faults, config, certificate).await;
                assert!(
                    !is_whole || is_late,
                    "{at:?}: a session that was broken succeeded"
                );
            });
            if running.len() == AT_ONCE {
                running.join_next().await.unwrap().unwrap();
            }
        }
    }
    while let Some(outcome) = running.join_next().await {
        outcome.unwrap();
    }
    until(|| Handle::current().metrics().num_alive_tasks() == tasks).await;
}

#[tokio::test]
async fn a_secured_session_cut_anywhere_ends_once_on_both_sides() {
    break_everywhere(Fault::Cut, 5).await;
}

#[tokio::test]
async fn a_secured_session_that_stalls_for_ever_ends_by_a_deadline() {
    break_everywhere(Fault::Stall, 17).await;
}
