//! The listener of the book's page about deploying, behind HAProxy with the settings in `packaging/`.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal::SIGTERM;
use support::{Directory, Running, luavortex, root, run};

/// Asks through the balancer until it has found out which listeners are there.
const CLIENT: &str = r#"
local vortex = require "vortex"
local ctx = vortex.ctx.new ()
assert (ctx:init ())
for _ = 1, 600 do
   local conn = vortex.connection.new (ctx, "127.0.0.1", arg[1])
   if conn:is_ok () then
      local channel = assert (conn:open_channel (0, "urn:example:echo"))
      print (assert (channel:request "hello").payload, conn:close ())
      ctx:exit ()
      os.exit (0)
   end
   vortex.sleep (50000)
end
error "nobody answers"
"#;

/// A child that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first script of the page.
fn listener_of_the_page() -> String {
    let page = fs::read_to_string(root().join("docs/deploying.md")).unwrap();
    let (_, script) = page.split_once("```lua\n").unwrap();
    script.split_once("```").unwrap().0.to_owned()
}

fn listener_port(line: &str) -> Option<u16> {
    line.strip_prefix("listening on port ")?.parse().ok()
}

#[test]
fn haproxy_passes_sessions_on_and_leaves_out_who_is_gone() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        println!("SKIPPED: haproxy is not installed");
        return;
    }
    let directory = Directory::new("deploying");
    let script = directory.write("echo.lua", listener_of_the_page());
    let client = directory.write("client.lua", CLIENT);
    let start = || Running::start(luavortex([&script]).env("BEEP_PORT", "0"));
    let mut listeners = [start(), start()];
    let ports = listeners.each_mut().map(|listener| {
        let port = listener.wait_for(listener_port);
        // A signal before it waits would end it at once.
        listener.wait_until_asleep();
        port
    });

    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let front = free.local_addr().unwrap().port().to_string();
    drop(free);
    let mut settings = fs::read_to_string(root().join("packaging/haproxy.cfg")).unwrap();
    for (shipped, used) in [
        (":10289", format!("127.0.0.1:{front}")),
        (
            "127.0.0.1:10288",
            format!("127.0.0.1:{}", ports.first().unwrap()),
        ),
        (
            "127.0.0.1:10290",
            format!("127.0.0.1:{}", ports.last().unwrap()),
        ),
        ("maxconn 4000", "maxconn 100".to_owned()),
    ] {
        assert!(settings.contains(shipped), "{settings}");
        settings = settings.replace(shipped, &used);
    }
    let settings = directory.write("haproxy.cfg", settings);
    let _haproxy = Ended(
        Command::new("haproxy")
            .arg("-f")
            .arg(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );

    let ask = || {
        let arguments = [client.as_os_str(), front.as_ref()];
        let outcome = run(&mut luavortex(arguments)).expect_code(0);
        assert_eq!(outcome.stdout, "hello\ttrue\n");
    };
    ask();
    let [first, second] = listeners;
    first.signal(SIGTERM);
    assert!(
        first
            .finish()
            .expect_code(0)
            .stdout
            .ends_with("going down\n")
    );
    for _ in 0..4 {
        ask();
    }
    second.signal(SIGTERM);
    second.finish().expect_code(0);
}
