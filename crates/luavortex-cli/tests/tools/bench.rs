use super::*;

#[test]
fn a_bench_measures_round_trips_throughput_and_connections() {
    let listener = Served::start(&["listen", "--profile", ECHO, "--echo", "--quiet"]);
    let report = json(
        &tool(&[
            "bench",
            &listener.address,
            "--profile",
            ECHO,
            "--count",
            "20",
            "-c",
            "2",
            "--json",
        ])
        .expect_code(0),
    );
    let measurements = report["measurements"].as_array().unwrap();
    let whats: Vec<_> = measurements
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(whats, ["round-trips", "throughput", "connections"]);
    for measurement in measurements {
        assert!(measurement["count"].as_u64().unwrap() > 0, "{measurement}");
        let times = &measurement["milliseconds"];
        let time = |name: &str| times[name].as_f64().unwrap();
        assert!(
            time("min") > 0.0 && time("min") <= time("p50") && time("p50") <= time("max"),
            "{times}"
        );
        assert_eq!(measurement["failures"], serde_json::json!({}));
    }
    let [round_trips, ..] = &measurements[..] else {
        panic!("{report}")
    };
    assert_eq!(round_trips["octets_out"], round_trips["octets_back"]);
    assert_eq!(
        round_trips["octets_out"].as_u64().unwrap(),
        round_trips["count"].as_u64().unwrap() * 64
    );
}

#[test]
fn churn_makes_connections_anew() {
    let listener = Served::echo();
    let words = [
        "bench",
        &listener.address,
        "--profile",
        ECHO,
        "--measure",
        "round-trips",
        "--count",
        "20",
        "--churn",
        "3",
        "--json",
    ];
    tool(&words).expect_code(0);
    let shown = listener.stop().expect_code(0).stdout;
    assert!(
        shown.contains(" MSG 2 ") && !shown.contains(" MSG 3 "),
        "{shown}"
    );
    assert!(shown.matches(" connected").count() > 2, "{shown}");
}

#[test]
fn a_summary_is_one_paragraph_for_each_measurement() {
    let listener = Served::echo();
    let outcome = tool(&[
        "bench",
        &listener.address,
        "--profile",
        ECHO,
        "--measure",
        "connections",
        "--count",
        "3",
    ])
    .expect_code(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("connections") && lines[1].contains("p99"),
        "{outcome:#?}"
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn ctrl_c_ends_a_bench_with_what_was_measured() {
    let mut listener = Served::echo();
    let running = Running::start(&mut luavortex([
        "bench",
        &listener.address,
        "--profile",
        ECHO,
        "--duration",
        "3600",
    ]));
    // The trial has sent one; with the second, the measurement is under way.
    listener
        .running
        .wait_for(|line| line.contains("MSG 1 ").then_some(()));
    running.signal(nix::sys::signal::Signal::SIGINT);
    let outcome = running.finish().expect_code(130);
    assert!(outcome.stdout.starts_with("round trips"), "{outcome:#?}");
}

#[test]
fn failures_in_the_course_of_a_bench_are_counted() {
    // Answers the trial and the first message, and then no more: the command succeeds while the file is short.
    let directory = crate::support::Directory::new("bench-failures");
    let file = directory.path().join("count");
    let command = format!("echo >> {0}; test $(wc -l < {0}) -le 2", file.display());
    let listener = Served::start(&["listen", "--profile", ECHO, "--exec", &command]);
    let words = [
        "bench",
        &listener.address,
        "--profile",
        ECHO,
        "--measure",
        "round-trips",
        "--count",
        "20",
        "--json",
    ];
    let outcome = tool(&words).expect_code(3);
    let failures = json(&outcome)["measurements"][0]["failures"].clone();
    assert!(
        failures
            .to_string()
            .contains("the peer answered with an error"),
        "{failures}"
    );
    assert!(
        outcome.stderr.contains("failures in the course"),
        "{outcome:#?}"
    );
}
