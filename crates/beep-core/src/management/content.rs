//! A document's markup taken apart without building a tree.
//!
//! Two things cannot be asked of the XML reader: whether text stood in a CDATA section, and what the octets of
//! embedded markup were. The same walk bounds depth and attributes before the XML reader sees the document.

/// A stretch of a document.
enum Token<'a> {
    /// Text between markup, still escaped.
    Text(&'a str),
    /// What a CDATA section holds.
    CData(&'a str),
    /// A start, end or empty tag with its brackets.
    Tag(&'a str),
    /// A comment or processing instruction.
    Remark,
}

/// The stretches of a document in order; octets that are not well-formed come out as one stretch or another.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self
            .rest
            .split_at_checked(octets)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Takes markup from its opening to its end, or all the rest when the end is missing.
    fn take_through(&mut self, open: &str, end: &str) -> Option<&'a str> {
        let inner = self.rest.strip_prefix(open)?;
        let length = inner.find(end).unwrap_or(inner.len());
        self.take(open.len() + length + end.len());
        inner.get(..length)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(section) = self.take_through("<![CDATA[", "]]>") {
            return Some(Token::CData(section));
        }
        if self.take_through("<!--", "-->").is_some() || self.take_through("<?", "?>").is_some() {
            return Some(Token::Remark);
        }
        if self.rest.starts_with('<') {
            let end = tag_length(self.rest);
            return Some(Token::Tag(self.take(end)));
        }
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        Some(Token::Text(self.take(end)))
    }
}

/// How deep a document's elements are nested, and how many attributes its richest tag may have.
pub(super) struct Extent {
    pub(super) depth: u32,
    /// Equals signs in one tag: at least as many as it has attributes.
    pub(super) attributes: u32,
}

/// Measures a document; says nothing useful of one that is not well-formed, but always ends.
pub(super) fn extent(document: &str) -> Extent {
    let mut extent = Extent {
        depth: 0,
        attributes: 0,
    };
    let mut depth: u32 = 0;
    for token in (Tokens { rest: document }) {
        let Token::Tag(tag) = token else { continue };
        if tag.starts_with("</") {
            depth = depth.saturating_sub(1);
            continue;
        }
        extent.depth = extent.depth.max(depth.saturating_add(1));
        let signs = tag.bytes().filter(|octet| *octet == b'=').count();
        extent.attributes = extent
            .attributes
            .max(u32::try_from(signs).unwrap_or(u32::MAX));
        if !tag.ends_with("/>") {
            depth = depth.saturating_add(1);
        }
    }
    extent
}

/// The text an element holds, or `None` when it holds none. `element` is its source from `<` to `>`.
///
/// White space between the tags and around CDATA sections is none. Line ends stay as the peer sent them: XML
/// readers make LF of CRLF, but content is octets to most profiles and to the C engine. Child elements, which the
/// document type does not have, are given as the markup they are, so that a profile sees the same whether a
/// peer wrapped its document in CDATA or not.
pub(super) fn text_of(element: &str) -> Option<String> {
    let start_tag = element.get(..tag_length(element))?;
    if start_tag.ends_with("/>") {
        return None;
    }
    let inner = element.get(start_tag.len()..element.rfind("</")?)?;
    let mut text = String::new();
    let mut sections = String::new();
    let (mut has_text, mut has_sections) = (false, false);
    for token in (Tokens { rest: inner }) {
        match token {
            Token::Text(escaped) => {
                has_text |= !is_blank(escaped);
                put_unescaped(&mut text, escaped);
            }
            Token::CData(section) => {
                has_sections = true;
                text.push_str(section);
                sections.push_str(section);
            }
            Token::Tag(_) => return Some(inner.trim().to_owned()),
            Token::Remark => {}
        }
    }
    if has_text {
        Some(text)
    } else {
        has_sections.then_some(sections)
    }
}

/// Octets of the tag that the text begins with; a `>` within quotes does not end it.
fn tag_length(text: &str) -> usize {
    let mut quote = None;
    for (at, octet) in text.bytes().enumerate() {
        match (quote, octet) {
            (None, b'>') => return at + 1,
            (None, b'\'' | b'"') => quote = Some(octet),
            (Some(open), octet) if open == octet => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn is_blank(text: &str) -> bool {
    text.bytes()
        .all(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Appends text with its references resolved. The XML reader has refused all but these by now.
fn put_unescaped(out: &mut String, escaped: &str) {
    let mut rest = escaped;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, after)) = from.split_once(';') else {
            out.push('&');
            rest = from;
            continue;
        };
        if let Some(c) = referenced(name) {
            out.push(c);
        }
        rest = after;
    }
    out.push_str(rest);
}

fn referenced(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}
