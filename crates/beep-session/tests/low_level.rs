//! The low level: a session with an application of one's own.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beep_session::core::{
    ChannelNumber, Config, Event, Greeting, Outgoing, ProfileOffer, Role, StartRequest,
};
use beep_session::{Application, Channel, Connection, End, Profiles, Session, SessionOptions};
use common::*;
use tokio::sync::mpsc;

/// Reports events, and sends one message more when octets have left and it is asked to.
struct Prompter {
    events: mpsc::UnboundedSender<Event>,
    is_armed: AtomicBool,
    channel: ChannelNumber,
}

impl Application for Prompter {
    fn event(&self, _session: &Session, event: Event) {
        let _ = self.events.send(event);
    }

    fn ended(&self, _session: &Session, _end: &Arc<End>) {}

    fn transmitted(&self, session: &Session) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            // Another thread at the worst moment: the task has written, and does not wait yet.
            session
                .send_msg(self.channel, Outgoing::new("second"))
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_message_that_comes_while_the_task_is_about_to_wait_is_sent() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = Config::default().checked().unwrap();
    // A peer that takes messages and says nothing, so that nothing but the message itself wakes the task.
    let (taken, mut arrived) = mpsc::unbounded_channel();
    let profiles = Profiles::new().serve(ECHO, move |channel: Channel| {
        let taken = taken.clone();
        async move {
            let mut unanswered = Vec::new();
            while let Some(message) = channel.recv().await {
                let _ = taken.send(message.payload());
                unanswered.push(message);
            }
        }
    });
    let _server = Connection::accept(there, profiles, config.clone());
    let (events, mut seen) = mpsc::unbounded_channel();
    let channel = ChannelNumber::new(3).unwrap();
    let application = Arc::new(Prompter {
        events,
        is_armed: AtomicBool::new(false),
        channel,
    });
    let options = SessionOptions {
        config,
        role: Role::Initiator,
        greeting: Ok(Greeting::default()),
        addresses: None,
        admission: None,
        services: Arc::default(),
        server_name: None,
    };
    let session = Session::spawn(here, options, application.clone());
    let profiles = vec![ProfileOffer {
        uri: ECHO.to_owned(),
        content: None,
    }];
    session
        .start(StartRequest {
            profiles,
            ..StartRequest::default()
        })
        .unwrap();
    while !matches!(
        within(seen.recv()).await.unwrap(),
        Event::Started { number, .. } if number == channel
    ) {}
    application.is_armed.store(true, Ordering::SeqCst);
    session.send_msg(channel, Outgoing::new("first")).unwrap();
    for expected in ["first", "second"] {
        assert_eq!(within(arrived.recv()).await.unwrap(), expected);
    }
}
