//! Writing documents in the C engine's form: single quotes, a blank before `/>`, CRLF after each line.

use std::fmt::Write;

use super::{Close, Encoding, ErrorReply, Greeting, ProfileContent, ProfileOffer, Start};

/// The positive answer to a close (RFC 3080 §2.3.1.4); the C engine ends it with no CRLF.
pub const OK_XML: &str = "<ok />";

/// Whether XML 1.0 can carry the text at all, escaped or not (production 2, `Char`).
///
/// It cannot carry control characters other than tab, LF and CR, nor U+FFFE and U+FFFF. The writers do not
/// check: a document made from such text is refused by every peer.
pub fn is_xml_text(text: &str) -> bool {
    !text.chars().any(|c| match c {
        '\t' | '\n' | '\r' => false,
        '\u{fffe}' | '\u{ffff}' => true,
        c => c < ' ',
    })
}

impl Greeting {
    /// The greeting as a document.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<greeting");
        put_optional_attribute(&mut xml, "features", self.features.as_deref());
        put_optional_attribute(&mut xml, "localize", self.localize.as_deref());
        if self.profiles.is_empty() {
            xml.push_str(" />\r\n");
            return xml;
        }
        xml.push_str(">\r\n");
        for uri in &self.profiles {
            xml.push_str("   <profile");
            put_attribute(&mut xml, "uri", uri);
            xml.push_str(" />\r\n");
        }
        xml.push_str("</greeting>\r\n");
        xml
    }
}

impl Start {
    /// The request as a document.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<start");
        put_attribute(&mut xml, "number", &self.number.to_string());
        put_optional_attribute(&mut xml, "serverName", self.server_name.as_deref());
        xml.push_str(">\r\n");
        for profile in &self.profiles {
            xml.push_str("   ");
            // In a start no blank stands before the `>`, in an answer one does.
            put_profile(&mut xml, profile, ">");
        }
        xml.push_str("</start>\r\n");
        xml
    }
}

impl ProfileOffer {
    /// The profile as a document of its own: the positive answer to a start.
    pub fn to_xml(&self) -> String {
        let mut xml = String::new();
        put_profile(&mut xml, self, " >");
        xml
    }
}

impl Close {
    /// The request as a document.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<close");
        put_attribute(&mut xml, "number", &self.number.to_string());
        put_attribute(&mut xml, "code", &self.code.to_string());
        put_optional_attribute(&mut xml, "xml:lang", self.language.as_deref());
        put_text_and_end(&mut xml, "close", self.text.as_deref().unwrap_or_default());
        xml
    }
}

impl ErrorReply {
    /// The refusal as a document.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<error");
        put_attribute(&mut xml, "code", &self.code.to_string());
        put_optional_attribute(&mut xml, "xml:lang", self.language.as_deref());
        put_text_and_end(&mut xml, "error", &self.text);
        xml
    }
}

fn put_profile(xml: &mut String, profile: &ProfileOffer, end_of_tag: &str) {
    xml.push_str("<profile");
    put_attribute(xml, "uri", &profile.uri);
    let Some(ProfileContent { text, encoding }) = &profile.content else {
        xml.push_str(" />\r\n");
        return;
    };
    if *encoding == Encoding::Base64 {
        put_attribute(xml, "encoding", "base64");
    }
    xml.push_str(end_of_tag);
    xml.push_str("<![CDATA[");
    // A section cannot hold its own end, so the text goes on in a second one.
    xml.push_str(&text.replace("]]>", "]]]]><![CDATA[>"));
    xml.push_str("]]></profile>\r\n");
}

fn put_text_and_end(xml: &mut String, element: &str, text: &str) {
    if text.is_empty() {
        xml.push_str(" />\r\n");
        return;
    }
    xml.push_str(" >");
    put_escaped(xml, text, false);
    xml.push_str("</");
    xml.push_str(element);
    xml.push_str(">\r\n");
}

fn put_optional_attribute(xml: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        put_attribute(xml, name, value);
    }
}

fn put_attribute(xml: &mut String, name: &str, value: &str) {
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("='");
    put_escaped(xml, value, true);
    xml.push('\'');
}

/// Quotes are escaped in attributes only: not every peer decodes them in a text meant for people.
fn put_escaped(xml: &mut String, text: &str, in_attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\'' if in_attribute => xml.push_str("&apos;"),
            '"' if in_attribute => xml.push_str("&quot;"),
            // A reader makes LF of a CR, and in attributes a blank of either and of a tab.
            '\r' => put_reference(xml, c),
            '\t' | '\n' if in_attribute => put_reference(xml, c),
            c => xml.push(c),
        }
    }
}

fn put_reference(xml: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "&#{};", u32::from(c));
}
