//! Client and server of the benchmarks without Lua: what `bench/client.lua` and `bench/server.lua` do, as far as it makes
//! sense, with the same names of workloads, keys and environment.
//!
//! `cargo run --release -p beep-session --example bench_peer -- server [PORT]`
//! `cargo run --release -p beep-session --example bench_peer -- client WORKLOAD[,WORKLOAD...] PORT`

mod client;
mod measure;
mod server;

use std::error::Error;

const PROFILE: &str = "urn:example:bench:";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["server"] => server::run(0).await,
        ["server", port] => server::run(port.parse()?).await,
        ["client", workloads, port] => client::run(workloads, port.parse()?).await,
        _ => Err("usage: bench_peer server [PORT] | client WORKLOAD[,WORKLOAD...] PORT".into()),
    }
}
