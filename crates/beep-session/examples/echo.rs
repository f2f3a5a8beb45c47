//! An echo server and its client in one program.
//!
//! `cargo run -p beep-session --example echo -- "some text"`

use std::time::Duration;

use beep_session::{Channel, ConnectOptions, Connection, Profiles, Reply, Server, ServerOptions};

const ECHO: &str = "http://example.org/profiles/echo";

async fn echo(channel: Channel) {
    println!("server: channel {} is open", channel.number());
    while let Some(message) = channel.recv().await {
        let payload = message.payload();
        if let Err(error) = message.reply(payload).await {
            println!("server: no reply sent: {error}");
        }
    }
    println!("server: channel {} is closed", channel.number());
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "hello".to_owned());

    let options = ServerOptions::default();
    let server = Server::bind("localhost", 0, Profiles::new().serve(ECHO, echo), options).await?;
    println!("server: listening on {}", server.local_addr());

    let port = server.local_addr().port();
    let connection = Connection::connect("localhost", port, ConnectOptions::default()).await?;
    connection.on_close(|end| println!("client: the session is over: {end}"));
    println!("client: the server offers {:?}", connection.peer_profiles());

    let channel = connection.open(ECHO).await?;
    match channel.request(text).await? {
        Reply::Rpy(message) => println!("client: got {:?}", message.payload()),
        Reply::Err(message) => println!("client: refused with {:?}", message.payload()),
    }

    connection.close().await?;
    let dropped = server.shutdown(Duration::from_secs(5)).await;
    println!("server: stopped, {dropped} connections dropped");
    Ok(())
}
