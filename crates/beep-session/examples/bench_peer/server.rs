//! The listener.

use std::error::Error;
use std::sync::Arc;
use std::{env, fs};

use beep_session::sasl::{Answer, Mechanism};
use beep_session::tls::Identity;
use beep_session::{Channel, Profiles, Server, ServerOptions, Services, tls};

use crate::PROFILE;

pub(crate) async fn run(port: u16) -> Result<(), Box<dyn Error>> {
    let services = Services::new();
    services.serve_sasl(Mechanism::Plain, |question| async move {
        let is_bob = question.auth_id.as_deref() == Some("bob");
        if is_bob && question.password.as_deref() == Some("secret") {
            Answer::Accept
        } else {
            Answer::Deny
        }
    });
    if let (Some(certificate), Some(key)) = (env::var_os("BENCH_CERT"), env::var_os("BENCH_KEY")) {
        let identity = Identity::from_pem(&fs::read(certificate)?, &fs::read(key)?)?;
        services.serve_tls(move |_| {
            let identity = identity.clone();
            async move { Ok(tls::ServerOptions::new(identity)) }
        });
    }
    let profiles = Profiles::new()
        .serve(format!("{PROFILE}echo"), echo)
        .serve(format!("{PROFILE}sink"), sink)
        .serve(format!("{PROFILE}stream"), stream);
    let options = ServerOptions {
        services: Arc::new(services),
        ..ServerOptions::default()
    };
    let server = Server::bind("127.0.0.1", port, profiles, options).await?;
    println!("READY {}", server.local_addr().port());
    std::future::pending().await
}

async fn echo(channel: Channel) {
    while let Some(message) = channel.recv().await {
        let payload = message.payload();
        if message.reply(payload).await.is_err() {
            return;
        }
    }
}

async fn sink(channel: Channel) {
    while let Some(message) = channel.recv().await {
        if message.reply("").await.is_err() {
            return;
        }
    }
}

/// "COUNT SIZE" is answered with so many answers of so many octets.
async fn stream(channel: Channel) {
    while let Some(mut message) = channel.recv().await {
        let question = String::from_utf8_lossy(&message.payload()).into_owned();
        let Some((Ok(count), Ok(size))) = question
            .split_once(' ')
            .map(|(count, size)| (count.parse::<usize>(), size.parse::<usize>()))
        else {
            continue; // answered with an error, as it is dropped
        };
        let answer = bytes::Bytes::from(vec![b'x'; size]);
        for _ in 0..count {
            if message.ans(answer.clone()).await.is_err() {
                return;
            }
        }
        if message.finish().is_err() {
            return;
        }
    }
}
