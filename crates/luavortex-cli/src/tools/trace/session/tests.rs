use super::*;

const GREETING: &str = "RPY 0 0 . 0 14\r\n\r\n<greeting />END\r\n";

/// A recording in memory.
struct Recording {
    session: Session,
    frames: Vec<Frame>,
    us: u64,
}

impl Recording {
    /// Both sides have greeted.
    fn greeted() -> Self {
        let mut recording = Recording {
            session: Session::new(1, 100),
            frames: Vec::new(),
            us: 0,
        };
        recording.pass(Side::Client, GREETING);
        recording.pass(Side::Listener, GREETING);
        assert_eq!(recording.faults(), [""; 0]);
        recording
    }

    /// Channel 1 is open besides.
    fn with_channel() -> Self {
        let mut recording = Recording::greeted();
        let start = "\r\n<start number='1'><profile uri='urn:a' /></start>";
        recording.pass(Side::Client, &frame("MSG 0 0 . 14", start));
        recording.pass(
            Side::Listener,
            &frame("RPY 0 0 . 14", "\r\n<profile uri='urn:a' />"),
        );
        assert_eq!(recording.faults(), [""; 0]);
        recording
    }

    fn pass(&mut self, from: Side, octets: &str) {
        self.us += 1000;
        let entry = Entry::Octets {
            us: self.us,
            session: 1,
            from,
            octets: octets.as_bytes().to_vec(),
        };
        let frames = self.session.take(&entry);
        self.frames.extend(frames);
    }

    fn faults(&self) -> Vec<&str> {
        let faults = self.frames.iter().flat_map(|frame| &frame.faults);
        faults.map(String::as_str).collect()
    }

    #[track_caller]
    fn assert_fault(&self, wanted: &str) {
        let faults = self.faults();
        assert!(
            faults.len() == 1 && faults[0].contains(wanted),
            "{faults:?}"
        );
    }

    fn last(&self) -> &Frame {
        self.frames.last().unwrap()
    }
}

/// A frame with the size of its payload.
fn frame(header: &str, payload: &str) -> String {
    format!("{header} {}\r\n{payload}END\r\n", payload.len())
}

#[test]
fn documents_are_read_to_the_user() {
    let recording = Recording::with_channel();
    let meanings = recording
        .frames
        .iter()
        .map(|frame| frame.meaning.as_deref());
    assert_eq!(
        meanings.collect::<Vec<_>>(),
        [
            "greeting",
            "greeting",
            "start channel 1: urn:a",
            "profile urn:a"
        ]
        .map(Some)
    );
}

#[test]
fn a_reply_tells_how_long_it_took() {
    let mut recording = Recording::with_channel();
    recording.pass(Side::Client, "MSG 1 0 . 0 0\r\nEND\r\n");
    recording.pass(Side::Listener, "RPY 1 0 . 0 0\r\nEND\r\n");
    assert_eq!(recording.last().after_us, Some(1000));
    assert_eq!(recording.last().profile.as_deref(), Some("urn:a"));
}

#[test]
fn windows_are_followed() {
    let mut recording = Recording::with_channel();
    recording.pass(Side::Client, &frame("MSG 1 0 . 0", &"x".repeat(96)));
    let level = |sender, room| {
        Some(Level {
            sender,
            channel: 1,
            room,
        })
    };
    assert_eq!(recording.last().level, level(Side::Client, 4000));
    recording.pass(Side::Listener, "SEQ 1 96 8192\r\n");
    assert_eq!(recording.last().level, level(Side::Client, 8192));
    assert_eq!(recording.faults(), [""; 0]);
}

#[test]
fn what_breaks_the_protocol_is_told() {
    let mut recording = Recording::with_channel();
    recording.pass(Side::Client, "MSG 3 0 . 0 0\r\nEND\r\n");
    recording.assert_fault("channel 3 is not open");

    let mut recording = Recording::with_channel();
    recording.pass(Side::Client, &frame("MSG 1 0 . 0", &"x".repeat(5000)));
    recording.assert_fault("904 octets more than the window");

    let mut recording = Recording::with_channel();
    recording.pass(Side::Listener, "RPY 1 7 . 0 0\r\nEND\r\n");
    recording.assert_fault("no MSG 7 awaits a reply");

    let mut recording = Recording::with_channel();
    recording.pass(
        Side::Client,
        "MSG 1 0 . 0 0\r\nEND\r\nMSG 1 0 . 0 0\r\nEND\r\n",
    );
    recording.assert_fault("MSG 0 awaits its reply already");

    let mut recording = Recording::with_channel();
    recording.pass(
        Side::Client,
        "MSG 1 0 * 0 0\r\nEND\r\nMSG 1 1 . 0 0\r\nEND\r\n",
    );
    recording.assert_fault("MSG 1 between the frames of MSG 0");

    let mut recording = Recording::greeted();
    recording.pass(Side::Client, &frame("MSG 0 0 . 14", "\r\n<stop />"));
    recording.assert_fault("request that cannot be read");
}

#[test]
fn a_channel_that_is_opened_again_counts_anew() {
    let mut recording = Recording::with_channel();
    recording.pass(Side::Client, "MSG 1 0 . 0 3\r\nabcEND\r\n");
    recording.pass(Side::Listener, "RPY 1 0 . 0 3\r\nabcEND\r\n");
    let next = |from: &str, recording: &Recording| {
        let sizes = recording
            .frames
            .iter()
            .filter_map(|frame| match &frame.content {
                Content::Data { header, .. }
                    if header.channel.value() == 0 && frame.from.name() == from =>
                {
                    Some(header.size)
                }
                _ => None,
            });
        sizes.sum::<u32>()
    };
    for (msgno, request, reply) in [
        (1, "\r\n<close number='1' code='200' />", "\r\n<ok />"),
        (
            2,
            "\r\n<start number='1'><profile uri='urn:b' /></start>",
            "\r\n<profile uri='urn:b' />",
        ),
    ] {
        let at = next("client", &recording);
        recording.pass(
            Side::Client,
            &frame(&format!("MSG 0 {msgno} . {at}"), request),
        );
        let at = next("listener", &recording);
        recording.pass(
            Side::Listener,
            &frame(&format!("RPY 0 {msgno} . {at}"), reply),
        );
    }
    recording.pass(Side::Client, "MSG 1 0 . 0 0\r\nEND\r\n");
    assert_eq!(recording.faults(), [""; 0]);
    assert_eq!(recording.last().profile.as_deref(), Some("urn:b"));
}

#[test]
fn refusals_are_marked() {
    let mut recording = Recording::greeted();
    let start = "\r\n<start number='1'><profile uri='urn:a' /></start>";
    recording.pass(Side::Client, &frame("MSG 0 0 . 14", start));
    recording.pass(
        Side::Listener,
        &frame("ERR 0 0 . 14", "\r\n<error code='550'>no</error>"),
    );
    assert!(recording.last().is_refusal);
    assert_eq!(recording.last().meaning.as_deref(), Some("error 550 no"));
}

#[test]
fn a_connection_that_ends_without_a_release_is_marked_once() {
    let end = |from| Entry::End {
        us: 9000,
        session: 1,
        from,
        error: None,
    };
    let mut recording = Recording::with_channel();
    for side in [Side::Client, Side::Listener] {
        let frames = recording.session.take(&end(side));
        recording.frames.extend(frames);
    }
    recording.assert_fault("without a release of the session");

    let mut recording = Recording::greeted();
    let close = "\r\n<close number='0' code='200' />";
    recording.pass(Side::Client, &frame("MSG 0 0 . 14", close));
    recording.pass(Side::Listener, &frame("RPY 0 0 . 14", "\r\n<ok />"));
    for side in [Side::Client, Side::Listener] {
        assert!(recording.session.take(&end(side))[0].faults.is_empty());
    }
}

#[test]
fn a_refusal_in_a_positive_answer_is_one() {
    let mut recording = Recording::greeted();
    let uri = "http://iana.org/beep/SASL/PLAIN";
    let start = format!("\r\n<start number='1'><profile uri='{uri}' /></start>");
    let refusal = "<error code='535'>no</error>";
    recording.pass(Side::Client, &frame("MSG 0 0 . 14", &start));
    let answer = format!("\r\n<profile uri='{uri}'><![CDATA[{refusal}]]></profile>");
    recording.pass(Side::Listener, &frame("RPY 0 0 . 14", &answer));
    assert!(recording.last().is_refusal);
    let said = format!("profile {uri}, error 535 no");
    assert_eq!(recording.last().meaning.as_deref(), Some(said.as_str()));

    recording.pass(Side::Client, &frame("MSG 1 0 . 0", "\r\n<blob />"));
    recording.pass(
        Side::Listener,
        &frame("RPY 1 0 . 0", &format!("\r\n{refusal}\r\n")),
    );
    assert!(recording.last().is_refusal);
    assert_eq!(recording.last().meaning.as_deref(), Some("error 535 no"));
}
