//! The Lua reference of the book, made of the editor definitions in `types/`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Failure;

/// A file of `types/`, and whether the book has a page for it. In the order of the pages.
const MODULES: &[&str] = &[
    "vortex",
    "ctx",
    "connection",
    "channel",
    "channelpool",
    "frame",
    "asyncqueue",
    "sasl",
    "tls",
    "alive",
    "handlers",
];

/// What only an editor needs.
const WITHOUT_PAGE: &[&str] = &["global"];

/// A block of comment lines and the line of Lua behind it.
#[derive(Debug, Default, PartialEq)]
struct Item {
    /// What is said, as Markdown.
    text: Vec<String>,
    /// The lines `---@tag rest`, as tag and rest.
    tags: Vec<(String, String)>,
    /// The Lua behind it, joined to one line; empty if there is none.
    code: String,
}

/// Writes the pages of the reference to a directory.
pub(crate) fn write(types: &Path, out: &Path) -> Result<(), Failure> {
    every_file_has_a_page(types)?;
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut index = "# The Lua API\n\nThis reference is made of the definitions that editors use (`types/`).\n\n".to_owned();
    let mut optional = Vec::new();
    for item in items(&read(types, "handlers")?) {
        if let Some((name, definition)) = item.tag("alias").and_then(word)
            && definition.ends_with("|nil")
        {
            optional.push(name.to_owned());
        }
    }
    for module in MODULES {
        let items = items(&read(types, module)?);
        let page = page(module, &items, &optional);
        let file = out.join(format!("{module}.md"));
        fs::write(&file, &page).map_err(|error| format!("{}: {error}", file.display()))?;
        let title = title(module);
        let about = items
            .iter()
            .find(|item| item.is_module(module))
            .and_then(Item::first_sentence)
            .unwrap_or("What is called when something happens.");
        let _ = writeln!(index, "- [{title}]({module}.md): {about}"); // writing to a String does not fail
    }
    let file = out.join("README.md");
    fs::write(&file, index).map_err(|error| format!("{}: {error}", file.display()))
}

fn every_file_has_a_page(types: &Path) -> Result<(), Failure> {
    let files = fs::read_dir(types).map_err(|error| format!("{}: {error}", types.display()))?;
    for file in files.filter_map(Result::ok) {
        let name = file.file_name().to_string_lossy().into_owned();
        let module = name.strip_suffix(".lua").unwrap_or(&name);
        if !MODULES.contains(&module) && !WITHOUT_PAGE.contains(&module) {
            return Err(format!(
                "types/{name} has no page: add it to xtask/src/reference.rs and docs/SUMMARY.md"
            ));
        }
    }
    Ok(())
}

fn read(types: &Path, module: &str) -> Result<String, Failure> {
    let file = types.join(format!("{module}.lua"));
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

fn title(module: &str) -> String {
    match module {
        "vortex" => "vortex".to_owned(),
        "handlers" => "Handler types".to_owned(),
        module => format!("vortex.{module}"),
    }
}

/// Takes the definitions apart.
fn items(source: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = Item::default();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(tag) = line.strip_prefix("---@") {
            let (tag, rest) = word(tag).unwrap_or((tag, ""));
            item.tags.push((tag.to_owned(), rest.to_owned()));
        } else if let Some(text) = line.strip_prefix("---") {
            item.text
                .push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else {
            if !line.starts_with("--") {
                line.clone_into(&mut item.code);
                // A list of arguments may take several lines.
                while item.code.starts_with("function") && !item.code.ends_with("end") {
                    let Some(more) = lines.next() else { break };
                    item.code.push(' ');
                    item.code.push_str(more.trim());
                }
            }
            if !item.text.is_empty() || !item.tags.is_empty() {
                items.push(std::mem::take(&mut item));
            }
            item.code.clear();
        }
    }
    items
}

impl Item {
    fn tag(&self, name: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|(tag, _)| tag == name);
        tag.map(|(_, rest)| rest.as_str())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags
            .iter()
            .filter(move |(tag, _)| tag == name)
            .map(|(_, rest)| rest.as_str())
    }

    /// The name after `---@class`, without what it is derived from.
    fn class(&self) -> Option<&str> {
        let class = self.tag("class")?;
        let class = class.strip_prefix("(exact) ").unwrap_or(class);
        class.split(' ').next()
    }

    /// Whether it describes the table of the module.
    fn is_module(&self, module: &str) -> bool {
        self.class()
            .is_some_and(|class| class == title(module) || class == module)
    }

    fn first_sentence(&self) -> Option<&str> {
        let text = self.text.iter().find(|line| !line.is_empty())?;
        Some(
            text.find(". ")
                .map_or(text.as_str(), |end| text.get(..=end).unwrap_or(text)),
        )
    }
}

/// The first word and the rest.
fn word(text: &str) -> Option<(&str, &str)> {
    text.split_once(' ')
        .map(|(word, rest)| (word, rest.trim_start()))
}

/// A type and the rest: types hold spaces inside brackets.
fn type_and_rest(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (place, character) in text.char_indices() {
        match character {
            '(' | '{' | '[' | '<' => depth += 1,
            ')' | '}' | ']' | '>' => depth -= 1,
            ' ' if depth == 0 => {
                let (first, rest) = text.split_at(place);
                return (first, rest.trim_start());
            }
            _ => {}
        }
    }
    (text, "")
}

fn page(module: &str, items: &[Item], optional: &[String]) -> String {
    let mut page = format!("# {}\n\n", title(module));
    let object = format!("vortex.{}", object_name(module));
    for item in items {
        if item.is_module(module) {
            page.push_str(&text(item));
        }
    }
    for item in items {
        if let Some(class) = item.class().filter(|_| !item.is_module(module)) {
            let _ = write!(page, "## `{class}`\n\n{}", text(item));
        } else if let Some((name, definition)) = item.tag("alias").and_then(word) {
            let definition = definition.strip_suffix("|nil").unwrap_or(definition);
            let _ = write!(
                page,
                "## `{name}`\n\n{}```text\n{definition}\n```\n\n",
                text(item)
            );
        }
        page.push_str(&fields(item));
    }
    for item in items {
        if let Some(function) = item.code.strip_prefix("function ") {
            page.push_str(&self::function(item, function, &object, module, optional));
        } else if !item.text.is_empty()
            && let Some((name, value)) = item.code.split_once(" = ")
            && !item.code.starts_with("local ")
            && item.class().is_none()
        {
            let name = qualified(name, module);
            let _ = write!(page, "### `{name}`\n\n`{value}`: {}", text(item));
        }
    }
    page
}

/// How objects of a module's class are called: `vortex.ChannelPool` for `channelpool`.
fn object_name(module: &str) -> String {
    match module {
        "channelpool" => "ChannelPool".to_owned(),
        "asyncqueue" => "AsyncQueue".to_owned(),
        module => {
            let mut letters = module.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().collect::<String>() + letters.as_str()
            })
        }
    }
}

fn qualified(name: &str, module: &str) -> String {
    if module == "vortex" {
        name.to_owned()
    } else {
        format!("vortex.{name}")
    }
}

fn text(item: &Item) -> String {
    let text = item.text.join("\n");
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n\n")
    }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn fields(item: &Item) -> String {
    let mut table = String::new();
    for field in item.all("field") {
        let Some((name, rest)) = word(field) else {
            continue;
        };
        let (of_type, about) = type_and_rest(rest);
        if table.is_empty() {
            table.push_str("| field | type | |\n|---|---|---|\n");
        }
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {} |",
            name.trim_end_matches('?'),
            cell(of_type),
            cell(about)
        );
    }
    if !table.is_empty() {
        table.push('\n');
    }
    table
}

fn function(
    item: &Item,
    function: &str,
    object: &str,
    module: &str,
    optional: &[String],
) -> String {
    let name = function.split(' ').next().unwrap_or_default();
    let (mut names, mut rows) = (Vec::new(), String::new());
    let mut is_method = false;
    for (place, param) in item.all("param").enumerate() {
        let Some((name, rest)) = word(param) else {
            continue;
        };
        let (of_type, about) = type_and_rest(rest);
        if place == 0 && of_type == object {
            is_method = true;
            continue;
        }
        let plain = name.trim_end_matches('?');
        let may_be_left_out = plain != name || optional.iter().any(|handler| handler == of_type);
        names.push(if may_be_left_out {
            format!("[{plain}]")
        } else {
            plain.to_owned()
        });
        let _ = writeln!(
            rows,
            "| `{plain}` | `{}` | {} |",
            cell(of_type),
            cell(about)
        );
    }
    let shown = if is_method {
        name.replacen('.', ":", 1)
    } else {
        qualified(name, module)
    };
    let mut out = format!("### `{shown} ({})`\n\n{}", names.join(", "), text(item));
    if !rows.is_empty() {
        let _ = write!(out, "| argument | type | |\n|---|---|---|\n{rows}\n");
    }
    let mut returns = String::new();
    for value in item.all("return") {
        let (of_type, rest) = type_and_rest(value);
        let (name, about) = word(rest).unwrap_or((rest, ""));
        let _ = writeln!(
            returns,
            "| `{name}` | `{}` | {} |",
            cell(of_type),
            cell(about)
        );
    }
    if !returns.is_empty() {
        let _ = write!(out, "| result | type | |\n|---|---|---|\n{returns}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
---@meta vortex.channel

--- Channels: messages. And more.
---@class vortex.channel
local channel = {}

--- Sends a message.
---@param channel vortex.Channel
---@param content string
---@param size? integer How much. Default, and -1: all.
---@param handler vortex.ChannelCloseHandler Decides.
---@return (fun(): a?, b)? iterator Nil, or a|b.
function channel.send_msg (channel, content, size,
                           handler) end
";

    #[test]
    fn a_function_has_its_arguments_and_results() {
        let items = items(SOURCE);
        let page = page(
            "channel",
            &items,
            &["vortex.ChannelCloseHandler".to_owned()],
        );
        assert!(page.starts_with("# vortex.channel\n\nChannels: messages. And more.\n"));
        assert!(
            page.contains(
                "### `channel:send_msg (content, [size], [handler])`\n\nSends a message.\n"
            ),
            "{page}"
        );
        assert!(
            page.contains("| `size` | `integer` | How much. Default, and -1: all. |"),
            "{page}"
        );
        assert!(
            page.contains("| `iterator` | `(fun(): a?, b)?` | Nil, or a\\|b. |"),
            "{page}"
        );
    }

    #[test]
    fn what_is_said_about_a_module_begins_with_a_sentence() {
        let items = items(SOURCE);
        let module = items.iter().find(|item| item.is_module("channel")).unwrap();
        assert_eq!(module.first_sentence(), Some("Channels: messages."));
    }
}
