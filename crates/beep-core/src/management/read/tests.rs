use super::super::tests::{LIMITS, content, number, request};
use super::*;

fn start(xml: &str) -> Start {
    match request(xml) {
        Ok(Request::Start(start)) => start,
        other => panic!("{xml}: {other:?}"),
    }
}

fn close(xml: &str) -> Close {
    match request(xml) {
        Ok(Request::Close(close)) => close,
        other => panic!("{xml}: {other:?}"),
    }
}

/// The content of a profile as read from its element.
fn riding(xml: &str) -> Option<String> {
    let profile = parse_profile(&content(xml), LIMITS).expect(xml);
    profile.content.map(|content| content.text)
}

#[test]
fn a_greeting_may_have_any_xml_form() {
    let expected = Greeting {
        profiles: vec!["urn:a&b".into(), "urn:c".into()],
        features: Some("x-one x-two".into()),
        localize: None,
    };
    for xml in [
        "<greeting features='x-one x-two'><profile uri='urn:a&amp;b'/><profile uri=\"urn:c\"></profile></greeting>",
        "<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<!-- hello -->\r\n<greeting x-new='1' features = \"x-one x-two\" >\n<profile x='y' uri='urn:a&#38;b' />\n<?pi?><new/><profile uri='urn:c' /></greeting >\n<!-- bye -->\n",
        "\u{feff}<greeting features='x-one&#x20;x-two'>text<profile uri='urn:a&#x26;b'/><profile uri='urn:c'/></greeting>",
    ] {
        assert_eq!(parse_greeting(&content(xml), LIMITS), Ok(expected.clone()));
    }
}

#[test]
fn a_greeting_with_another_content_type_is_refused_and_one_without_is_taken() {
    let greeting = |head: &str| parse_greeting(format!("{head}\r\n<greeting/>").as_bytes(), LIMITS);
    assert_eq!(greeting(""), Ok(Greeting::default()));
    assert_eq!(greeting("X: y\r\n"), Ok(Greeting::default()));
    assert_eq!(
        greeting("CONTENT-TYPE: Application/BEEP+XML; charset=utf-8\r\n"),
        Ok(Greeting::default())
    );
    assert_eq!(
        greeting("Content-Type: text/plain\r\n"),
        Err(DocumentError::ContentType {
            found: "text/plain".into()
        })
    );
    assert_eq!(
        parse_greeting(b"<greeting/>", LIMITS),
        Ok(Greeting::default())
    );
}

#[test]
fn what_is_no_greeting_is_refused() {
    for xml in [
        "hello",
        "",
        "<greeting>",
        "<start number='3'/>",
        "<greeting><profile/></greeting>",
        "<greeting><profile uri=''/></greeting>",
        "<greeting/><greeting/>",
    ] {
        assert!(parse_greeting(&content(xml), LIMITS).is_err(), "{xml}");
    }
}

#[test]
fn document_types_are_refused_unexpanded() {
    for xml in [
        "<!DOCTYPE greeting><greeting/>",
        "<!DOCTYPE greeting []><greeting/>",
        "<?xml version='1.0'?>\n<!-- x -->\n<!DOCTYPE greeting [<!ENTITY a 'aaaaaaaaaa'>]><greeting features='&a;'/>",
        "<!DOCTYPE greeting SYSTEM 'http://example.org/beep.dtd'><greeting/>",
    ] {
        assert_eq!(
            parse_greeting(&content(xml), LIMITS),
            Err(DocumentError::DocumentType),
            "{xml}"
        );
    }
    assert_eq!(
        request("<!DOCTYPE start><start/>").unwrap_err().code,
        ReplyCode::GENERAL_SYNTAX_ERROR
    );
    assert!(parse_greeting(&content("<greeting features='&a;'/>"), LIMITS).is_err());
}

#[test]
fn content_is_the_same_in_every_form() {
    for inner in [
        "<![CDATA[<ready a='&amp;'/>]]>",
        "<![CDATA[<ready a=']]><![CDATA[&amp;'/>]]>",
        "\r\n   <![CDATA[<ready a='&amp;'/>]]>\r\n",
        "&lt;ready a='&amp;amp;'/>",
        "&#60;ready a=&apos;&#x26;amp;'/&gt;",
        "<!-- > ' -->&lt;ready<?pi x?> a='<![CDATA[&amp;'/>]]>",
        "<ready a='&amp;'/>",
        "\r\n   <ready a='&amp;'/>\r\n",
    ] {
        let xml = format!("<profile uri='urn:a>b'>{inner}</profile>");
        assert_eq!(riding(&xml).as_deref(), Some("<ready a='&amp;'/>"), "{xml}");
    }
}

#[test]
fn white_space_alone_is_no_content_but_an_empty_section_is() {
    assert_eq!(riding("<profile uri='u'/>"), None);
    assert_eq!(riding("<profile uri='u'></profile>"), None);
    assert_eq!(riding("<profile uri='u'>\r\n</profile>"), None);
    assert_eq!(riding("<profile uri='u'><!-- x --></profile>"), None);
    assert_eq!(
        riding("<profile uri='u'><![CDATA[]]></profile>"),
        Some(String::new())
    );
    assert_eq!(
        riding("<profile uri='u'><![CDATA[ ]]></profile>"),
        Some(" ".into())
    );
}

#[test]
fn line_ends_in_content_stay_as_they_came() {
    assert_eq!(
        riding("<profile uri='u'><![CDATA[a\r\nb\rc]]></profile>"),
        Some("a\r\nb\rc".into())
    );
}

#[test]
fn base64_is_told_and_not_decoded() {
    let start = start(
        "<start serverName=\"a\" number=\"007\"><profile encoding='base64' uri='u'>aGk=\r\n</profile><profile uri='v' encoding='none'>x</profile></start>",
    );
    assert_eq!(start.number, number(7));
    assert_eq!(start.server_name.as_deref(), Some("a"));
    let content = start.profiles[0].content.as_ref().unwrap();
    assert_eq!(content.encoding, Encoding::Base64);
    assert_eq!(content.text, "aGk=\r\n");
    assert_eq!(start.profiles[1].content, Some(ProfileContent::new("x")));
}

#[test]
fn requests_need_no_content_type() {
    let xml = b"\r\n<close number='3' code='200'/>";
    assert!(parse_request(xml, LIMITS).is_ok());
    assert!(parse_request(&xml[2..], LIMITS).is_ok());
    assert!(parse_request(&[b"Content-Type: text/xml\r\n", &xml[..]].concat(), LIMITS).is_ok());
}

#[test]
fn a_close_without_number_means_the_session() {
    let close = close("<close code='200' xml:lang='en-US'>\r\n  bye &amp; thanks\r\n</close>");
    assert_eq!(close.number, ChannelNumber::MANAGEMENT);
    assert_eq!(close.language.as_deref(), Some("en-US"));
    assert_eq!(close.text.as_deref(), Some("bye & thanks"));
}

#[test]
fn what_cannot_be_read_as_xml_is_answered_with_500() {
    for xml in [
        "this is not XML",
        "",
        "<start number='3'><profile uri='u'></start>",
        "<start number=3><profile uri='u'/></start>",
        "<close code='200'",
        "<close code='200'>\u{1}</close>",
    ] {
        assert_eq!(
            request(xml).unwrap_err().code,
            ReplyCode::GENERAL_SYNTAX_ERROR,
            "{xml}"
        );
    }
    assert_eq!(
        parse_request(b"\r\n<close code='200'>\xff</close>", LIMITS),
        Err(ErrorReply::new(
            ReplyCode::GENERAL_SYNTAX_ERROR,
            "document is not UTF-8"
        ))
    );
}

#[test]
fn what_says_something_wrong_is_answered_with_501() {
    for (xml, text) in [
        ("<ok />", "<ok> where <start> or <close> was expected"),
        (
            "<error code='550'/>",
            "<error> where <start> or <close> was expected",
        ),
        (
            "<greeting/>",
            "<greeting> where <start> or <close> was expected",
        ),
        (
            "<profile uri='u'/>",
            "<profile> where <start> or <close> was expected",
        ),
        ("<blob/>", "<blob> where <start> or <close> was expected"),
        (
            "<start><profile uri='u'/></start>",
            "<start> without a number attribute",
        ),
        (
            "<start number='0'><profile uri='u'/></start>",
            "<start> with number='0', a number from 1 to 2147483647 expected",
        ),
        (
            "<start number='-1'><profile uri='u'/></start>",
            "<start> with number='-1', a number from 1 to 2147483647 expected",
        ),
        (
            "<start number='+1'><profile uri='u'/></start>",
            "<start> with number='+1', a number from 1 to 2147483647 expected",
        ),
        (
            "<start number='x'><profile uri='u'/></start>",
            "<start> with number='x', a number from 1 to 2147483647 expected",
        ),
        (
            "<start number='2147483648'><profile uri='u'/></start>",
            "<start> with number='2147483648', a number from 1 to 2147483647 expected",
        ),
        ("<start number='3'/>", "<start> without a <profile>"),
        (
            "<start number='3'><profile/></start>",
            "<profile> without a uri attribute",
        ),
        (
            "<start number='3'><profile uri='u' encoding='hex'/></start>",
            "<profile> with encoding='hex', none or base64 expected",
        ),
        ("<close number='3'/>", "<close> without a code attribute"),
        (
            "<close number='3' code='20'/>",
            "<close> with code='20', three digits expected",
        ),
        (
            "<close number='3' code='0200'/>",
            "<close> with code='0200', three digits expected",
        ),
        (
            "<close number='3' code='abc'/>",
            "<close> with code='abc', three digits expected",
        ),
        (
            "<close number='x' code='200'/>",
            "<close> with number='x', a number from 0 to 2147483647 expected",
        ),
    ] {
        assert_eq!(
            request(xml),
            Err(ErrorReply::new(ReplyCode::PARAMETER_SYNTAX_ERROR, text)),
            "{xml}"
        );
    }
}

#[test]
fn answers_are_told_by_their_root() {
    assert_eq!(parse_ok(b"\r\n<ok/>", LIMITS), Ok(()));
    assert_eq!(parse_ok(b"<ok ></ok>\r\n", LIMITS), Ok(()));
    assert!(parse_ok(&content("<okay/>"), LIMITS).is_err());
    assert!(parse_profile(&content("<ok/>"), LIMITS).is_err());
    assert!(parse_error(&content("<error>no</error>"), LIMITS).is_err());
    assert_eq!(
        parse_error(&content("<error code=\"554\" />"), LIMITS),
        Ok(ErrorReply::new(ReplyCode::TRANSACTION_FAILED, ""))
    );
    assert_eq!(
        parse_error(
            &content("<error xml:lang='de' code='421'><![CDATA[nein]]></error>"),
            LIMITS
        ),
        Ok(ErrorReply {
            code: ReplyCode::SERVICE_NOT_AVAILABLE,
            language: Some("de".into()),
            text: "nein".into()
        })
    );
}

#[test]
fn documents_beyond_the_limits_are_refused() {
    let nested = |depth: usize| {
        format!(
            "<ok>{}{}</ok>",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        )
    };
    assert_eq!(parse_ok(&content(&nested(16)), LIMITS), Ok(()));
    assert_eq!(
        parse_ok(&content(&nested(17)), LIMITS),
        Err(DocumentError::TooDeep {
            depth: 17,
            limit: 16
        })
    );
    assert_eq!(
        parse_ok(
            &content(&format!("<ok>{}</ok>", "<a/>".repeat(5000))),
            LIMITS
        ),
        Err(DocumentError::TooManyNodes { limit: 4096 })
    );
    let attributes: String = (0..300).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(
        parse_ok(&content(&format!("<ok{attributes}/>")), LIMITS),
        Err(DocumentError::TooManyAttributes { limit: 256 })
    );
    let limits = DocumentLimits {
        octets: 7,
        ..LIMITS
    };
    assert_eq!(
        parse_ok(b"\r\n<ok />", limits),
        Err(DocumentError::TooLong {
            octets: 8,
            limit: 7
        })
    );
}
