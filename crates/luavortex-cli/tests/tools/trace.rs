use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::Directory;

/// Passes a session through a relay that records it in `file`, and gives what the relay showed.
#[track_caller]
fn record(file: &Path, words: &[&str], session: impl FnOnce(&str)) -> String {
    let listener = Served::start(&["listen", "--profile", ECHO, "--echo", "--quiet"]);
    record_with(&listener.address, file, words, session)
}

#[track_caller]
fn record_with(target: &str, file: &Path, words: &[&str], session: impl FnOnce(&str)) -> String {
    let save = [
        "trace",
        target,
        "--count",
        "1",
        "--save",
        file.to_str().unwrap(),
    ];
    let relay = Served::start(&[&save[..], words].concat());
    session(&relay.address);
    relay.running.finish().expect_code(0).stdout
}

fn send(address: &str) {
    tool(&[
        "send",
        address,
        "--profile",
        ECHO,
        "-m",
        "hello </script>",
        "-q",
    ])
    .expect_code(0);
}

#[test]
fn a_relay_shows_the_frames_of_both_sides_with_what_they_mean() {
    let directory = Directory::new("trace-live");
    let shown = record(&directory.path().join("trace"), &[], send);
    for part in [
        "→ MSG 0 0 . ",
        "start channel 3: urn:example:echo, serverName 127.0.0.1",
        "← RPY 0 0 . ",
        "profile urn:example:echo  after ",
        "→ MSG 3 0 . 0 17  hello </script>",
        "← RPY 3 0 . 0 17  hello </script>  after ",
        "→ SEQ 3 0 65536",
        "close channel 3, code 200",
        "release the session, code 200",
        "the client ended the connection",
    ] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert!(!shown.contains('!'), "{shown}");
}

#[test]
fn a_recording_shows_what_was_shown_live() {
    let directory = Directory::new("trace-show");
    let file = directory.path().join("trace");
    let live = record(&file, &["--payload"], send);
    let shown = tool(&["trace", "show", "--payload", file.to_str().unwrap()])
        .expect_code(0)
        .stdout;
    // The first line of the relay is where it listens.
    assert_eq!(shown, live.split_once('\n').unwrap().1);
    assert!(shown.contains("| hello </script>"), "{shown}");
}

#[test]
fn a_recording_is_json_lines_and_so_is_what_is_shown_of_it() {
    let directory = Directory::new("trace-json");
    let file = directory.path().join("trace");
    record(&file, &["--quiet"], send);
    let events: Vec<Value> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "begin");
    assert_eq!(events[0]["format"], "luavortex-trace");
    assert_eq!(events[1]["event"], "open");
    assert!(
        events[2..]
            .iter()
            .all(|event| event["event"] == "octets" || event["event"] == "end")
    );

    let shown = tool(&[
        "trace",
        "show",
        "--json",
        "--channel",
        "3",
        file.to_str().unwrap(),
    ])
    .expect_code(0)
    .stdout;
    let rows: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.iter().all(|row| row["channel"] == 3));
    let asked = rows.iter().find(|row| row["kind"] == "MSG").unwrap();
    assert_eq!(asked["header"], "MSG 3 0 . 0 17");
    assert_eq!(asked["payload"], "\r\nhello </script>");
    assert_eq!(asked["profile"], ECHO);
}

#[test]
fn octets_that_are_no_beep_are_passed_on_and_shown_where_they_are_wrong() {
    let directory = Directory::new("trace-malformed");
    let file = directory.path().join("trace");
    let (sender, receiver) = std::sync::mpsc::channel();
    let peer = by_hand(move |mut stream| {
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets);
        let _ = sender.send(octets);
    });
    let sent = format!("{}MSG 0 0 . 50 5 x\r\nhello", greeting());
    let shown = record_with(&peer, &file, &[], |address| {
        TcpStream::connect(address)
            .unwrap()
            .write_all(sent.as_bytes())
            .unwrap();
    });
    assert_eq!(receiver.recv().unwrap(), sent.as_bytes());
    let fault = format!(
        "! octet {}: CRLF expected at octet 14 of a frame header, 0x20 came",
        greeting().len() + 14
    );
    assert!(shown.contains(&fault), "no {fault} in {shown}");
    assert!(shown.contains(">20"), "{shown}");
    let errors = tool(&["trace", "show", "--errors", file.to_str().unwrap()])
        .expect_code(0)
        .stdout;
    assert!(
        errors.contains(&fault) && !errors.contains("RPY 0 0"),
        "{errors}"
    );
}

#[test]
fn what_follows_a_change_to_tls_is_told_as_encrypted() {
    let (certificate, key) = (certificate("localhost.crt"), certificate("localhost.key"));
    let listener = Served::start(&[
        "listen",
        "--profile",
        ECHO,
        "--echo",
        "--cert",
        &certificate,
        "--key",
        &key,
    ]);
    let directory = Directory::new("trace-tls");
    let shown = record_with(
        &listener.address,
        &directory.path().join("trace"),
        &[],
        |address| {
            tool(&[
                "send",
                address,
                "--profile",
                ECHO,
                "-m",
                "secret",
                "-q",
                "--tls",
                "--insecure",
            ])
            .expect_code(0);
        },
    );
    assert!(
        shown.contains("octets of TLS") && !shown.contains('!') && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn a_listener_that_is_not_there_is_told_and_the_relay_goes_on() {
    let directory = Directory::new("trace-nobody");
    let file = directory.path().join("trace");
    let relay = Served::start(&[
        "trace",
        &nobody(),
        "--count",
        "2",
        "--save",
        file.to_str().unwrap(),
    ]);
    for _ in 0..2 {
        tool(&["probe", &relay.address]).expect_code(4);
    }
    let outcome = relay.running.finish().expect_code(0);
    assert_eq!(
        outcome.stderr.matches("Connection refused").count(),
        2,
        "{outcome:#?}"
    );
    assert_eq!(
        outcome
            .stdout
            .matches("the listener ended the connection")
            .count(),
        2,
        "{outcome:#?}"
    );
}

#[test]
fn a_relay_writes_the_page_when_it_ends() {
    let directory = Directory::new("trace-page-live");
    let file = directory.path().join("trace");
    let page = directory.path().join("page.html");
    record(&file, &["--html", page.to_str().unwrap()], send);
    let written = std::fs::read_to_string(&page).unwrap();
    let made = tool(&["trace", "html", file.to_str().unwrap()]).expect_code(0);
    assert_eq!(written, made.stdout);
}

#[test]
fn a_page_needs_nothing_else() {
    let directory = Directory::new("trace-page");
    let file = directory.path().join("trace");
    record(&file, &["--quiet"], send);
    let page = tool(&["trace", "html", file.to_str().unwrap()])
        .expect_code(0)
        .stdout;
    assert!(page.starts_with("<!DOCTYPE html>"));
    // What a peer sent ends no element, and nothing is fetched.
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(
        !page.contains("src=") && !page.contains("<link"),
        "something is fetched"
    );
    let data = page
        .split("id=\"trace\">")
        .nth(1)
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert!(
        data["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["payload"] == "\r\nhello </script>")
    );
}

/// The page after a browser ran it, and then this script in it; `None` where there is no browser.
fn drawn(directory: &Directory, page: &str, script: &str) -> Option<String> {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let mut browsers = browsers.into_iter();
    let Some(browser) = browsers.find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        println!("SKIPPED: chromium is not installed");
        return None;
    };
    let page = page.replace("</body>", &format!("<script>{script}</script></body>"));
    let page = directory.write("page.html", page);
    let profile = directory.path().join("profile");
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    // Time in the page runs as fast as there is nothing to do.
    command.arg("--virtual-time-budget=5000");
    command.arg(format!("--user-data-dir={}", profile.display()));
    let outcome = run(command.arg(format!("file://{}", page.display())));
    Some(outcome.expect_code(0).stdout)
}

fn page_of_a_session(directory: &Directory) -> String {
    let file = directory.path().join("trace");
    record(&file, &["--quiet"], send);
    tool(&["trace", "html", file.to_str().unwrap()])
        .expect_code(0)
        .stdout
}

fn title(drawn: &str) -> &str {
    let (_, title) = drawn.split_once("<title>").unwrap();
    title.split_once("</title>").unwrap().0
}

/// A browser that makes an element of each of 10,000 frames is busy for seconds.
#[test]
fn a_jump_to_the_end_of_a_long_trace_draws_no_more_than_is_looked_at() {
    const SCRIPT: &str = r##"
        const rows = () => [...document.querySelectorAll("#ladder .row")];
        const shown = (text) => rows().some((row) => row.textContent.includes(text));
        const seen = [shown("message-1499"), shown("message-1")];
        const chart = document.querySelector("#chart svg"), area = chart.getBoundingClientRect();
        chart.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: area.right - 11, clientY: area.top + 20 }));
        seen.push(shown("message-1499"), shown("message-1 "), rows().length < 1000);
        document.title = seen.join("|");
    "##;
    let directory = Directory::new("trace-page-long");
    let file = directory.path().join("trace");
    let lines: String = (0..1500)
        .map(|number| format!("message-{number} \n"))
        .collect();
    let lines = directory.write("lines", lines);
    record(&file, &["--quiet"], |address| {
        let words = ["send", address, "--profile", ECHO, "--lines", "-q"];
        let file = ["--file", lines.to_str().unwrap()];
        tool(&[&words[..], &file].concat()).expect_code(0);
    });
    let page = tool(&["trace", "html", file.to_str().unwrap()]).stdout;
    if let Some(drawn) = drawn(&directory, &page, SCRIPT) {
        assert_eq!(title(&drawn), "false|true|true|false|true");
    }
}

#[test]
fn a_browser_draws_the_page() {
    let directory = Directory::new("trace-browser");
    let page = page_of_a_session(&directory);
    let Some(drawn) = drawn(&directory, &page, "") else {
        return;
    };
    for part in [
        "class=\"row client msg\"",
        "class=\"row listener rpy\"",
        "start channel 3",
        "<svg",
        "hello &lt;/script&gt;",
        "no errors",
    ] {
        assert!(drawn.contains(part), "no {part} in what was drawn");
    }
}

#[test]
fn the_page_searches_and_filters_and_opens_frames() {
    const SCRIPT: &str = r##"
        const seen = [];
        const rows = () => document.querySelectorAll("#ladder .row").length;
        const search = document.getElementById("search");
        const all = rows();
        search.value = "HELLO";
        search.dispatchEvent(new Event("input"));
        setTimeout(() => {
          seen.push("found " + rows());
          const first = document.querySelector("#ladder .row");
          first.open = true;
          setTimeout(() => {
            seen.push(first.querySelector("pre").textContent.trim());
            first.querySelector("[data-view=hex]").click();
            seen.push(first.querySelector("pre").textContent.slice(0, 19));
            document.getElementById("clear").click();
            seen.push("all " + (rows() === all));
            document.querySelector("[aria-label='3']").click();
            seen.push("channel 3 " + [...document.querySelectorAll("#ladder code")].some((code) => code.textContent.startsWith("MSG 3")));
            document.getElementById("errors").click();
            seen.push("errors " + rows() + " " + document.getElementById("none").hidden);
            const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            for (const key of ["Escape", "j", "j", "k"]) press(key);
            seen.push("row " + [...document.querySelectorAll("#ladder summary")].indexOf(document.activeElement));
            document.title = seen.join("|");
          }, 100);
        }, 500);
    "##;
    let directory = Directory::new("trace-page-use");
    let page = page_of_a_session(&directory);
    let Some(drawn) = drawn(&directory, &page, SCRIPT) else {
        return;
    };
    assert_eq!(
        title(&drawn),
        "found 2|hello &lt;/script&gt;|000000  0d 0a 68 65|all true|channel 3 false|errors 0 false|row 0"
    );
}
