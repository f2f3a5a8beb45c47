//! The scripts in `bench/` do what they are to measure. How fast is not looked at.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use nix::sys::signal::Signal::SIGINT;
use support::{Running, luavortex, root, run};

#[test]
fn every_workload_of_the_benchmarks_runs() {
    let (scripts, certificates) = (root().join("bench"), root().join("spec/certificates"));
    let mut listener = Running::start(
        luavortex([scripts.join("server.lua")])
            .env("BENCH_CERT", certificates.join("server.crt"))
            .env("BENCH_KEY", certificates.join("server.key")),
    );
    let port = listener.wait_for(|line| Some(line.strip_prefix("READY ")?.to_owned()));

    let mut client = luavortex([scripts.join("client.lua")]);
    client
        .args(["all", &port])
        .env("BENCH_SECONDS", "0")
        .env("BENCH_SERVER_PID", listener.id().to_string());
    for count in ["WINDOW", "CHANNELS", "ANS", "FLOOD", "IDLE"] {
        client.env(format!("BENCH_{count}"), "10");
    }
    let outcome = run(&mut client).expect_code(0);
    assert_eq!(outcome.stderr, "");
    let mut count = 0;
    for line in outcome.stdout.lines() {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(result["ok"], true, "{line}");
        assert!(result["n"].as_u64().unwrap() >= 2, "{line}");
        assert!(result["value"].is_number(), "{line}");
        count += 1;
    }
    assert!(count >= 25, "{}", outcome.stdout);

    listener.signal(SIGINT);
    listener.finish().expect_code(0);
}

#[test]
fn a_workload_that_does_not_exist_is_reported_in_its_line() {
    let client = root().join("bench/client.lua");
    let outcome = run(luavortex([client]).args(["no_such", "1"])).expect_code(1);
    assert_eq!(
        outcome.stdout,
        "{\"workload\":\"no_such\",\"ok\":false,\"error\":\"no such workload\"}\n"
    );
}
