use proptest::prelude::*;

use super::*;
use crate::mime::MANAGEMENT_HEADERS;

pub(super) const LIMITS: DocumentLimits = DocumentLimits {
    octets: 64 * 1024,
    depth: 16,
    nodes: 4096,
};

pub(super) fn content(xml: &str) -> Vec<u8> {
    [MANAGEMENT_HEADERS, xml.as_bytes()].concat()
}

pub(super) fn request(xml: &str) -> Result<Request, ErrorReply> {
    parse_request(&content(xml), LIMITS)
}

pub(super) fn number(value: u32) -> ChannelNumber {
    ChannelNumber::new(value).unwrap()
}

mod written {
    use super::*;

    #[test]
    fn greetings_are_those_of_the_c_engine() {
        let mut greeting = Greeting::default();
        assert_eq!(greeting.to_xml(), "<greeting />\r\n");
        greeting.features = Some("x-three".to_owned());
        greeting.localize = Some("fr".to_owned());
        assert_eq!(
            greeting.to_xml(),
            "<greeting features='x-three' localize='fr' />\r\n"
        );
        let greeting = Greeting {
            profiles: vec!["urn:x-capture:echo".into(), "urn:x-capture:fail".into()],
            ..Greeting::default()
        };
        assert_eq!(
            greeting.to_xml(),
            "<greeting>\r\n   <profile uri='urn:x-capture:echo' />\r\n   <profile uri='urn:x-capture:fail' />\r\n</greeting>\r\n"
        );
    }

    #[test]
    fn starts_and_their_answers_are_those_of_the_c_engine() {
        let mut profile = ProfileOffer {
            uri: "urn:x-capture:piggy".to_owned(),
            content: None,
        };
        let start = |profile: &ProfileOffer, server_name: Option<&str>| {
            Start {
                number: number(3),
                server_name: server_name.map(str::to_owned),
                profiles: vec![profile.clone()],
            }
            .to_xml()
        };
        assert_eq!(
            start(&profile, Some("localhost")),
            "<start number='3' serverName='localhost'>\r\n   <profile uri='urn:x-capture:piggy' />\r\n</start>\r\n"
        );
        assert_eq!(
            profile.to_xml(),
            "<profile uri='urn:x-capture:piggy' />\r\n"
        );
        profile.content = Some(ProfileContent::new("<ready />"));
        assert_eq!(
            start(&profile, None),
            "<start number='3'>\r\n   <profile uri='urn:x-capture:piggy'><![CDATA[<ready />]]></profile>\r\n</start>\r\n"
        );
        assert_eq!(
            profile.to_xml(),
            "<profile uri='urn:x-capture:piggy' ><![CDATA[<ready />]]></profile>\r\n"
        );
        profile.content = Some(ProfileContent {
            text: "aGVsbG8gaW4gYmFzZTY0".to_owned(),
            encoding: Encoding::Base64,
        });
        assert_eq!(
            start(&profile, None),
            "<start number='3'>\r\n   <profile uri='urn:x-capture:piggy' encoding='base64'><![CDATA[aGVsbG8gaW4gYmFzZTY0]]></profile>\r\n</start>\r\n"
        );
    }

    #[test]
    fn closes_and_errors_are_those_of_the_c_engine() {
        let mut close = Close {
            number: number(3),
            code: ReplyCode::SUCCESS,
            language: None,
            text: None,
        };
        assert_eq!(close.to_xml(), "<close number='3' code='200' />\r\n");
        close.language = Some("en".to_owned());
        close.text = Some("don't & won't".to_owned());
        assert_eq!(
            close.to_xml(),
            "<close number='3' code='200' xml:lang='en' >don't &amp; won't</close>\r\n"
        );
        let error = ErrorReply::new(ReplyCode::ACTION_REFUSED, "still working");
        assert_eq!(
            error.to_xml(),
            "<error code='550' >still working</error>\r\n"
        );
        assert_eq!(error.to_string(), "550 still working");
        let silent = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "");
        assert_eq!(silent.to_xml(), "<error code='554' />\r\n");
        assert_eq!(silent.to_string(), "554 transaction failed");
    }
}

/// Text that XML can carry, with much that needs care.
fn xml_text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            4 => any::<char>().prop_filter("legal in XML", |c| is_xml_text(&c.to_string())).prop_map(String::from),
            3 => "[a-z <>&'\"\r\n\t]".prop_map(String::from),
            1 => Just("]]>".to_owned()),
            1 => Just("&amp;".to_owned()),
            1 => Just("<!-- ".to_owned()),
            1 => Just("</profile>".to_owned()),
        ],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

fn trimmed_text() -> impl Strategy<Value = String> {
    xml_text().prop_map(|text| text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
}

prop_compose! {
    fn any_profile()(
        uri in xml_text().prop_filter("not empty", |uri| !uri.is_empty()),
        content in prop::option::of((xml_text(), prop_oneof![Just(Encoding::None), Just(Encoding::Base64)])),
    ) -> ProfileOffer {
        ProfileOffer { uri, content: content.map(|(text, encoding)| ProfileContent { text, encoding }) }
    }
}

proptest! {
    #[test]
    fn greetings_come_back_as_they_were(
        profiles in prop::collection::vec(xml_text().prop_filter("not empty", |uri| !uri.is_empty()), 0..4),
        features in prop::option::of(xml_text()),
        localize in prop::option::of(xml_text()),
    ) {
        let greeting = Greeting { profiles, features, localize };
        prop_assert_eq!(parse_greeting(&content(&greeting.to_xml()), LIMITS), Ok(greeting));
    }

    #[test]
    fn profiles_come_back_as_they_were(profile in any_profile()) {
        prop_assert_eq!(parse_profile(&content(&profile.to_xml()), LIMITS), Ok(profile));
    }

    #[test]
    fn starts_come_back_as_they_were(
        channel in 1..=2_147_483_647u32,
        server_name in prop::option::of(xml_text()),
        profiles in prop::collection::vec(any_profile(), 1..4),
    ) {
        let start = Start { number: number(channel), server_name, profiles };
        prop_assert_eq!(request(&start.to_xml()), Ok(Request::Start(start)));
    }

    #[test]
    fn closes_and_errors_come_back_as_they_were(
        channel in 0..=2_147_483_647u32,
        code in 100..=999u16,
        language in prop::option::of(xml_text()),
        text in trimmed_text(),
    ) {
        let code = ReplyCode::new(code).unwrap();
        let error = ErrorReply { code, language: language.clone(), text: text.clone() };
        prop_assert_eq!(parse_error(&content(&error.to_xml()), LIMITS), Ok(error));
        let close = Close { number: number(channel), code, language, text: (!text.is_empty()).then_some(text) };
        prop_assert_eq!(request(&close.to_xml()), Ok(Request::Close(close)));
    }

    #[test]
    fn arbitrary_documents_never_panic(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            "(<start|<close|<profile|</start>|</profile>|<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?|\\?>| uri='|'|\"|>|/>|&lt;|&#|;|x|é|\r\n){0,12}"
                .prop_map(String::into_bytes),
        ],
    ) {
        let _ = parse_request(&octets, LIMITS);
        let _ = parse_greeting(&octets, LIMITS);
        let _ = parse_profile(&octets, LIMITS);
        let _ = parse_error(&octets, LIMITS);
        let text = String::from_utf8_lossy(&octets);
        super::content::extent(&text);
        super::content::text_of(&text);
    }

    #[test]
    fn text_is_legal_just_when_the_reader_takes_it(c: char) {
        let close = Close { number: number(3), code: ReplyCode::SUCCESS, language: None, text: Some(format!("a{c}b")) };
        prop_assert_eq!(request(&close.to_xml()).is_ok(), is_xml_text(&c.to_string()));
    }
}
