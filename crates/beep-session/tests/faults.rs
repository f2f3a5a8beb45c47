//! Sessions over a connection that breaks: at every octet, in both directions, in every way.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "faults/secured.rs"]
mod secured;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beep_session::{
    Channel, Config, ConnectOptions, Connection, End, Error, Profile, ProfileContent, Profiles,
    StartOptions,
};
use common::faults::{Fault, Faults, Watch, Way, pipe};
use common::{Ends, until, within};
use tokio::runtime::Handle;

const TALK: &str = "urn:test:talk";
const SERIES: &str = "urn:test:series";

/// What was delivered to each side, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    by_client: Vec<String>,
    by_server: Vec<String>,
}

impl Seen {
    /// Whether nothing is in it but what is in `whole`, in its order and from its beginning.
    fn is_front_of(&self, whole: &Seen) -> bool {
        whole.by_client.starts_with(&self.by_client) && whole.by_server.starts_with(&self.by_server)
    }
}

type Log = Arc<Mutex<Seen>>;

fn text(octets: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(octets.as_ref()).into_owned()
}

/// A server that echoes, asks back, and answers in series.
fn profiles(log: &Log) -> Profiles {
    let (talk_log, series_log) = (log.clone(), log.clone());
    let talk = move |channel: Channel| {
        let log = talk_log.clone();
        async move {
            while let Some(message) = channel.recv().await {
                log.lock().unwrap().by_server.push(text(message.payload()));
                let payload = message.payload();
                let _ = message.reply(payload).await;
                if let Ok(reply) = channel.request("and you?").await {
                    log.lock().unwrap().by_server.push(text(reply.payload()));
                }
            }
        }
    };
    let series = move |channel: Channel| {
        let log = series_log.clone();
        async move {
            while let Some(mut message) = channel.recv().await {
                log.lock().unwrap().by_server.push(text(message.payload()));
                for answer in ["one", "", "three"] {
                    let _ = message.ans(answer).await;
                }
                let _ = message.finish();
            }
        }
    };
    let talk = Profile::new(TALK, talk).on_start(|start| async move {
        Ok(start
            .content
            .map(|content| ProfileContent::new(format!("<{}>", content.text))))
    });
    Profiles::new().with(talk).serve(SERIES, series)
}

/// Everything that a session is used for, from the first channel to the release.
async fn use_session(client: &Connection, log: &Log) -> Result<(), Error> {
    let start = StartOptions::new(TALK).content(ProfileContent::new("hello & welcome"));
    let talk = client.open_with(start).await?;
    log.lock()
        .unwrap()
        .by_client
        .push(talk.content().unwrap().text.clone());
    for size in [5, 0, 1500] {
        let payload: String = ('a'..='z').cycle().take(size).collect();
        let reply = talk.request(payload).await?;
        log.lock().unwrap().by_client.push(text(reply.payload()));
        let question = talk.recv().await.ok_or(Error::Closing)?;
        log.lock().unwrap().by_client.push(text(question.payload()));
        question.reply("fine").await?;
    }
    let series = client.open(SERIES).await?;
    let mut answers = series.answers("count").await?;
    while let Some(answer) = answers.next().await? {
        log.lock().unwrap().by_client.push(text(answer.payload()));
    }
    series.close().await?;
    client.close().await
}

struct Outcome {
    result: Result<(), Error>,
    ends: [Arc<End>; 2],
    seen: Seen,
    watch: Arc<Watch>,
}

/// Runs the session over a pipe with `faults`. Whatever they are, both sides report their end once and nothing stays.
async fn run(faults: Faults, config: Config) -> Outcome {
    let log = Log::default();
    let config = config.checked().unwrap();
    let (here, there, watch) = pipe(faults);
    let server = Connection::accept(there, profiles(&log), config.clone());
    let server_ends = Ends::of(&server);
    let options = ConnectOptions {
        config,
        ..ConnectOptions::default()
    };
    let client = within(Connection::over(here, options)).await;
    let (result, client_end) = match client {
        Ok(client) => {
            let client_ends = Ends::of(&client);
            let result = within(use_session(&client, &log)).await;
            // A fault of the other direction may not have reached this side: it hangs up, as programs do.
            client.shutdown();
            (result, client_ends.once(&client).await)
        }
        // Without a greeting there is no connection to report an end of.
        Err(error) => (Err(error), server_ends.once(&server).await),
    };
    let server_end = server_ends.once(&server).await;
    drop(server);
    until(|| watch.ends() == 0).await;
    let seen = log.lock().unwrap().clone();
    Outcome {
        result,
        ends: [client_end, server_end],
        seen,
        watch,
    }
}

/// Frames so small that messages take several.
fn config() -> Config {
    Config {
        frame_max: 400,
        ..Config::default()
    }
}

/// Deadlines that come soon, for faults that nobody is told of.
fn hasty() -> Config {
    let soon = Duration::from_millis(200);
    Config {
        greeting_timeout: soon,
        reply_timeout: soon,
        release_linger: soon,
        idle_timeout: Some(soon),
        ..config()
    }
}

/// The session without faults: what is delivered, and how many octets pass each way.
async fn unharmed() -> (Seen, [usize; 2]) {
    let whole = run(Faults::default(), config()).await;
    whole.result.unwrap();
    assert!(whole.ends.iter().all(|end| end.is_orderly()));
    let seen = whole.seen;
    assert_eq!(
        (seen.by_client.len(), seen.by_server.len()),
        (10, 7),
        "{seen:?}"
    );
    let passed = [Way::There, Way::Back].map(|way| whole.watch.passed(way));
    (seen, passed)
}

/// Breaks the session behind every octet of so many, both ways.
async fn break_everywhere(fault: Fault, piece: usize, step: usize) {
    let (whole, passed) = unharmed().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut breaks = 0;
    for way in [Way::There, Way::Back] {
        for position in (0..passed[way as usize]).step_by(step) {
            let at = Some((way, position, fault));
            let outcome = run(Faults { at, piece, seed: 0 }, config()).await;
            assert!(
                outcome.seen.is_front_of(&whole),
                "{at:?}: {:?}",
                outcome.seen
            );
            // The release may have been agreed to before the last octets were lost.
            assert!(
                outcome.result.is_err() || outcome.seen == whole,
                "{at:?}: a session that was cut short succeeded"
            );
            breaks += 1;
        }
    }
    assert!(breaks > 4000 / step, "{breaks} breaks");
    until(|| Handle::current().metrics().num_alive_tasks() == tasks).await;
}

#[tokio::test]
async fn a_connection_cut_at_any_octet_ends_both_sides_once_and_leaves_nothing() {
    break_everywhere(Fault::Cut, 0, 1).await;
}

#[tokio::test]
async fn a_connection_reset_at_any_octet_ends_both_sides_once_and_leaves_nothing() {
    break_everywhere(Fault::Reset, 0, 1).await;
}

#[tokio::test]
async fn a_connection_cut_while_octets_trickle_ends_both_sides_once() {
    break_everywhere(Fault::Cut, 1, 13).await;
}

/// Runs sessions with a fault at many octets side by side, as each waits for its deadlines.
async fn many(faults: impl Iterator<Item = Fault>, step: usize, check: fn(&Outcome, &Seen)) {
    const AT_ONCE: usize = 256;
    let (whole, passed) = unharmed().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut faults = faults;
    let places = [Way::There, Way::Back].into_iter().flat_map(|way| {
        (0..passed[way as usize])
            .step_by(step)
            .map(move |at| (way, at))
    });
    let mut running = tokio::task::JoinSet::new();
    for (way, position) in places {
        let at = Some((way, position, faults.next().unwrap()));
        running.spawn(run(
            Faults {
                at,
                ..Faults::default()
            },
            hasty(),
        ));
        if running.len() == AT_ONCE {
            check(&running.join_next().await.unwrap().unwrap(), &whole);
        }
    }
    while let Some(outcome) = running.join_next().await {
        check(&outcome.unwrap(), &whole);
    }
    until(|| Handle::current().metrics().num_alive_tasks() == tasks).await;
}

#[tokio::test]
async fn a_connection_that_stalls_for_ever_ends_by_a_deadline() {
    many(std::iter::repeat(Fault::Stall), 1, |outcome, whole| {
        assert!(outcome.seen.is_front_of(whole), "{:?}", outcome.seen);
    })
    .await;
}

#[tokio::test]
async fn a_turned_bit_hangs_nobody_and_leaves_nothing() {
    let flips = (0..8).cycle().map(|bit| Fault::Flip { bit });
    many(flips, 1, |_, _| {}).await;
}

#[tokio::test]
async fn octets_that_come_late_and_in_pieces_change_nothing() {
    let (whole, _) = unharmed().await;
    for seed in 1..=50 {
        for piece in [0, 1, 7] {
            let faults = Faults {
                at: None,
                piece,
                seed,
            };
            let outcome = run(faults, config()).await;
            outcome.result.unwrap();
            assert_eq!(outcome.seen, whole, "{faults:?}");
            assert!(
                outcome.ends.iter().all(|end| end.is_orderly()),
                "{faults:?}"
            );
        }
    }
}
