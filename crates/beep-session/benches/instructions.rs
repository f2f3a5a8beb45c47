//! Work whose instructions `cargo xtask instructions` counts: `instructions WORKLOAD COUNT` does it so many times.
#![allow(missing_docs, unreachable_pub, reason = "nobody calls a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark may end where it cannot go on"
)]
#![allow(dead_code, reason = "what is shared is used in part")]

#[path = "../../beep-core/benches/pair/mod.rs"]
mod pair;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use beep_session::{Channel, ConnectOptions, Connection, Profiles, Server, ServerOptions};
use bytes::Bytes;

use pair::{Pair, Service};

const URI: &str = "urn:bench:echo";
const SMALL: usize = 64;
const LARGE: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let (Some(workload), Some(Ok(count))) = (arguments.get(1), arguments.get(2).map(|n| n.parse()))
    else {
        // `cargo test --benches` and `cargo bench` come without.
        println!("usage: instructions WORKLOAD COUNT, which `cargo xtask instructions` does");
        return ExitCode::SUCCESS;
    };
    match workload.as_str() {
        "core-messages" => messages(count, SMALL),
        "core-large" => messages(count, LARGE),
        "core-channels" => channels(count),
        "core-answers" => answers(count),
        "core-greetings" => greetings(count),
        "session-messages" => on_runtime(round_trips(count, SMALL)),
        "session-large" => on_runtime(round_trips(count, LARGE)),
        "session-channels" => on_runtime(open_and_close(count)),
        "session-connects" => on_runtime(connects(count)),
        unknown => {
            eprintln!("there is no workload `{unknown}`");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Requests with replies of the same content.
fn messages(count: usize, size: usize) {
    let mut pair = Pair::new(Service::Echo);
    let channel = pair.open();
    let content = Bytes::from(vec![b'x'; size]);
    for _ in 0..count {
        pair.request(channel, content.clone());
    }
    assert_eq!(pair.replies(), count);
}

fn channels(count: usize) {
    let mut pair = Pair::new(Service::Echo);
    for _ in 0..count {
        let channel = pair.open();
        pair.close(channel);
    }
}

/// Answers in series of a hundred.
fn answers(count: usize) {
    let mut pair = Pair::new(Service::Answers(100));
    let channel = pair.open();
    let content = Bytes::from(vec![b'x'; SMALL]);
    for _ in 0..count {
        pair.request(channel, content.clone());
    }
    assert_eq!(pair.replies(), count);
}

fn greetings(count: usize) {
    for _ in 0..count {
        Pair::new(Service::Echo);
    }
}

/// On one thread, so that the same happens in the same order every time.
fn on_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work);
}

async fn echo(channel: Channel) {
    while let Some(message) = channel.recv().await {
        let payload = message.payload();
        message.reply(payload).await.expect("the reply is taken");
    }
}

async fn serve() -> Server {
    let profiles = Profiles::new().serve(URI, echo);
    Server::bind("127.0.0.1", 0, profiles, ServerOptions::default())
        .await
        .expect("a free port")
}

async fn connect(server: &Server) -> Connection {
    let port = server.local_addr().port();
    Connection::connect("127.0.0.1", port, ConnectOptions::default())
        .await
        .expect("the server answers")
}

async fn round_trips(count: usize, size: usize) {
    let server = serve().await;
    let connection = connect(&server).await;
    let channel = connection.open(URI).await.expect("it is served");
    let content = Bytes::from(vec![b'x'; size]);
    for _ in 0..count {
        let reply = channel.request(content.clone()).await.expect("a reply");
        assert_eq!(reply.payload().len(), size);
    }
    connection.close().await.expect("the server agrees");
    server.shutdown(Duration::from_secs(5)).await;
}

async fn open_and_close(count: usize) {
    let server = serve().await;
    let connection = connect(&server).await;
    for _ in 0..count {
        let channel = connection.open(URI).await.expect("it is served");
        channel.close().await.expect("the server agrees");
    }
    connection.close().await.expect("the server agrees");
    server.shutdown(Duration::from_secs(5)).await;
}

/// Connects, opens a channel, goes there and back once, closes.
async fn connects(count: usize) {
    let server = serve().await;
    for _ in 0..count {
        let connection = connect(&server).await;
        let channel = connection.open(URI).await.expect("it is served");
        channel.request("x").await.expect("a reply");
        connection.close().await.expect("the server agrees");
    }
    server.shutdown(Duration::from_secs(5)).await;
}
