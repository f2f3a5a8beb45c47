//! Puts the book together: the pages of `docs/` and the Lua reference; checks its links; and builds it with mdBook.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::tool::Tool;
use crate::workspace::Workspace;
use crate::{Failure, child, reference, unexpected};

/// Who builds. Another release may want other settings.
const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    says: "mdbook v",
    // Without what serves and watches, which needs most of the time.
    options: &["--no-default-features", "--features", "search"],
};

/// `cargo xtask book`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut check_only = false;
    for argument in arguments {
        match argument.as_str() {
            "--check" => check_only = true,
            other => return Err(unexpected(other)),
        }
    }
    let workspace = Workspace::read()?;
    let (root, target) = (workspace.root()?, workspace.target()?);
    let book = target.join("book");
    let pages = assemble(&root, &book)?;
    check_links(&book.join("src"), &pages)?;
    println!(
        "book: {} pages, all links lead somewhere, all are in SUMMARY.md",
        pages.len()
    );
    if check_only {
        return Ok(());
    }
    let mdbook = MDBOOK.executable(&target.join("tools"), "book")?;
    child::check(
        Command::new(mdbook).arg("build").arg(&book),
        child::TEST_LIMIT,
    )?;
    println!("{}", book.join("html/index.html").display());
    Ok(())
}

/// Copies the pages and adds the reference. Gives the pages, relative to `src`.
fn assemble(root: &Path, book: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let src = book.join("src");
    for old in [&src, &book.join("packaging")] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(|error| format!("{}: {error}", old.display()))?;
        }
    }
    copy_tree(&root.join("docs"), &src)?;
    // Pages show files of it.
    copy_tree(&root.join("packaging"), &book.join("packaging"))?;
    let settings = src.join("book.toml");
    fs::rename(&settings, book.join("book.toml"))
        .map_err(|error| format!("{}: {error}", settings.display()))?;
    reference::write(&root.join("types"), &src.join("reference"))?;
    let mut pages = BTreeSet::new();
    collect(&src, &src, &mut pages)?;
    Ok(pages)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error| format!("cannot copy {}: {error}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(failed)?;
        }
    }
    Ok(())
}

fn collect(top: &Path, directory: &Path, pages: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let failed = |error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(top, &path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md")
            && let Ok(page) = path.strip_prefix(top)
        {
            pages.insert(page.to_owned());
        }
    }
    Ok(())
}

/// Every link within the book leads to a page and a heading, and the summary names every page.
fn check_links(src: &Path, pages: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut in_summary = BTreeSet::from([PathBuf::from("SUMMARY.md")]);
    for page in pages {
        let text = read(&src.join(page))?;
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                resolve(page, file)
            };
            if page == Path::new("SUMMARY.md") {
                in_summary.insert(target.clone());
            }
            if !src.join(&target).is_file() {
                problems.push(format!("{}: {link} leads nowhere", page.display()));
            } else if !heading.is_empty() && !headings(&read(&src.join(&target))?).contains(heading)
            {
                problems.push(format!("{}: {link}: no such heading", page.display()));
            }
        }
    }
    for page in pages.difference(&in_summary) {
        problems.push(format!("{} is not in SUMMARY.md", page.display()));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Targets of links that stay in the book.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // What stands between backticks is no link; the text of a link may stand there, with its target outside.
        for part in line.split('`').step_by(2) {
            links.extend(targets(part));
        }
    }
    links.retain(|link| !link.contains("://") && !link.starts_with("mailto:"));
    links
}

fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// Where a link of a page leads, relative to the top.
fn resolve(page: &Path, link: &str) -> PathBuf {
    let mut target = page.parent().map_or_else(PathBuf::new, Path::to_owned);
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            Component::Normal(name) => target.push(name),
            _ => {}
        }
    }
    target
}

/// The anchors that mdBook makes of the headings.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|character| match character {
                    ' ' => Some('-'),
                    letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => {
                        Some(letter)
                    }
                    _ => None,
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "See [a](a.md), `[b](b.md)` and [`c`](../c.md#d).\n```lua\nx = y[1](z)\n```\n[web](https://e.org)";
        assert_eq!(links(text), ["a.md", "../c.md#d"]);
    }

    #[test]
    fn a_link_counts_from_its_page() {
        let target = resolve(Path::new("handlers/timer.md"), "../limits.md");
        assert_eq!(target, Path::new("limits.md"));
    }

    #[test]
    fn headings_have_the_anchors_of_mdbook() {
        assert!(
            headings("## Where a `pcall` is, and isn't\n").contains("where-a-pcall-is-and-isnt")
        );
    }
}
