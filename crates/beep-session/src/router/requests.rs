//! What the peer asks for: starts and closes, which the program may have to decide about.

use std::sync::Arc;

use beep_core::{ChannelNumber, ErrorReply, ProfileContent, ProfileOffer, ReplyCode};

use super::Router;
use crate::Session;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::pending::{PendingClose, PendingStart};
use crate::profiles::{IncomingClose, IncomingStart, Profile};

impl Router {
    pub(super) fn start_requested(
        &self,
        session: &Session,
        number: ChannelNumber,
        offers: Vec<ProfileOffer>,
        server_name: Option<String>,
    ) {
        let pending = PendingStart {
            session: session.clone(),
            number,
            is_answered: false,
        };
        // The first one offered that is served here (RFC 3080 §2.3.1.2).
        let found = offers.into_iter().enumerate().find_map(|(index, offer)| {
            let profile = self.profiles.find(&offer.uri)?.clone();
            Some((index, offer, profile))
        });
        let Some((index, offer, profile)) = found else {
            pending.refuse(ErrorReply::new(
                ReplyCode::TRANSACTION_FAILED,
                "no such profile here",
            ));
            return;
        };
        let Some(connection) = self.connection(session) else {
            return;
        };
        if !profile.decides_start() {
            accept(connection, pending, &profile, index, offer.content, None);
            return;
        }
        let start = IncomingStart {
            connection: connection.clone(),
            number,
            uri: offer.uri,
            content: offer.content.clone(),
            server_name: server_name.or_else(|| session.server_name()),
        };
        tokio::spawn(async move {
            match profile.decide_start(start).await {
                Ok(answer) => accept(connection, pending, &profile, index, offer.content, answer),
                Err(error) => pending.refuse(error),
            }
        });
    }

    pub(super) fn close_requested(
        &self,
        session: &Session,
        number: ChannelNumber,
        code: ReplyCode,
        text: Option<String>,
    ) {
        let pending = PendingClose {
            session: session.clone(),
            number,
            is_answered: false,
        };
        let mailbox = self.mailbox(number);
        let profile = mailbox.and_then(|mailbox| self.profiles.find(&mailbox.profile).cloned());
        match profile.filter(|profile| profile.decides_close()) {
            Some(profile) => {
                let Some(connection) = self.connection(session) else {
                    return;
                };
                let close = IncomingClose {
                    connection,
                    number,
                    code,
                    text,
                };
                tokio::spawn(async move { pending.answer(profile.decide_close(close).await) });
            }
            None => pending.answer(Ok(())),
        }
    }
}

/// Agrees to a start of the peer and sets the profile's handler to work.
fn accept(
    connection: Connection,
    mut pending: PendingStart,
    profile: &Arc<Profile>,
    index: usize,
    content: Option<ProfileContent>,
    answer: Option<ProfileContent>,
) {
    let number = pending.number;
    // Ahead of the answer: the peer's messages may be here right behind it.
    let mailbox = connection
        .router()
        .open(number, profile.uri().to_owned(), content);
    match connection.session().accept_start(number, index, answer) {
        Ok(()) => {
            pending.is_answered = true;
            let channel = Channel::new(connection, mailbox);
            let profile = profile.clone();
            tokio::spawn(async move { profile.serve(channel).await });
        }
        Err(error) => {
            // The session is over, or the answer's content cannot be written; the latter is refused
            // below.
            tracing::warn!(session = connection.session().id(), channel = %number, %error, "start not accepted");
            connection.router().state().channels.remove(&number);
        }
    }
}
