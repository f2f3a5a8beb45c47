use super::*;
use crate::support::Directory;

#[test]
fn a_command_gets_the_message_and_where_it_comes_from() {
    let command =
        "tr a-z A-Z; echo -n \" $BEEP_PROFILE $BEEP_CHANNEL $BEEP_MSGNO ${BEEP_PEER%:*}\"";
    let listener = Served::start(&["listen", "--profile", ECHO, "--exec", command]);
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "x",
        "-m",
        "abc",
        "-q",
    ])
    .expect_code(0);
    assert_eq!(
        outcome.stdout,
        "X urn:example:echo 3 0 127.0.0.1\nABC urn:example:echo 3 1 127.0.0.1\n"
    );
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let listener = Served::start(&[
        "listen",
        "--profile",
        ECHO,
        "--exec",
        "sleep 600",
        "--exec-timeout",
        "0.1",
    ]);
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "x",
        "-q",
    ])
    .expect_code(5);
    assert_eq!(outcome.stdout, "the command did not end within 0.1 s\n");
}

#[test]
fn discard_answers_with_nothing() {
    let listener = Served::start(&["listen", "--profile", ECHO, "--discard"]);
    let answer = json(
        &tool(&[
            "send",
            &listener.address,
            "--profile",
            ECHO,
            "-m",
            "x",
            "--json",
        ])
        .expect_code(0),
    );
    assert_eq!(
        (&answer["kind"], &answer["octets"]),
        (&"RPY".into(), &0.into())
    );
}

#[test]
fn what_happens_is_told_line_by_line() {
    let mut listener = Served::echo();
    tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "hello\u{7}",
    ])
    .expect_code(0);
    listener
        .running
        .wait_for(|line| line.contains(" connected").then_some(()));
    listener.running.wait_for(|line| {
        line.ends_with("channel 3 started, urn:example:echo")
            .then_some(())
    });
    listener
        .running
        .wait_for(|line| line.ends_with("MSG 0 6 octets hello\\u{7}").then_some(()));
    listener
        .running
        .wait_for(|line| line.ends_with(" released").then_some(()));
}

#[test]
fn quiet_tells_only_where_it_listens() {
    let listener = Served::start(&["listen", "--profile", ECHO, "--echo", "--quiet"]);
    tool(&["send", &listener.address, "--profile", ECHO, "-m", "x"]).expect_code(0);
    let outcome = listener.stop().expect_code(0);
    assert_eq!(outcome.stdout.lines().count(), 1);
}

#[test]
fn ctrl_c_releases_the_sessions_there_are() {
    const CLIENT: &str = "
        local vortex = require 'vortex'
        local ctx = vortex.ctx.new () ctx:init ()
        local conn = vortex.connection.new (ctx, '127.0.0.1', arg[1])
        local queue = vortex.asyncqueue.new ()
        conn:set_on_close (function () queue:push (true) end)
        print 'ready' io.stdout:flush ()
        queue:pop () print 'released'";
    let listener = Served::echo();
    let directory = Directory::new("listen-release");
    let script = directory.write("client.lua", CLIENT);
    let port = listener.port().to_string();
    let mut client = Running::start(&mut luavortex([script.as_os_str(), port.as_ref()]));
    client.wait_for_line("ready");
    listener.stop().expect_code(0);
    client.wait_for_line("released");
    client.finish().expect_code(0);
}
