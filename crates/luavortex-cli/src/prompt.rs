//! The interactive prompt.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;

use crate::interpreter::{Interpreter, Line};
use crate::{output, signals};

const FIRST: &str = "> ";
const CONTINUED: &str = ">> ";

/// Entries kept: a few years of occasional use, and read at every start.
const HISTORY_LENGTH: usize = 5000;

/// What came of asking for a line.
enum Input {
    Line(Vec<u8>),
    /// Ctrl-C: forget what was typed.
    Cleared,
    End,
}

/// Reads lines and runs them until there are no more.
pub(crate) fn run(interpreter: &Interpreter) {
    let mut reader = Reader::new();
    match reader {
        Reader::Editor { .. } => signals::while_prompting(|| run_lines(interpreter, &mut reader)),
        // Whoever waits for a line here is Lua itself, which only the end of the process interrupts.
        Reader::Plain => run_lines(interpreter, &mut reader),
    }
    output::text("\n");
}

fn run_lines(interpreter: &Interpreter, reader: &mut Reader) {
    let mut typed: Vec<u8> = Vec::new();
    loop {
        let prompt = if typed.is_empty() { FIRST } else { CONTINUED };
        match reader.read(interpreter, prompt) {
            Input::Line(line) => {
                if !typed.is_empty() {
                    typed.push(b'\n');
                }
                typed.extend_from_slice(&line);
            }
            Input::Cleared => {
                typed.clear();
                continue;
            }
            Input::End => break,
        }
        match signals::while_line_runs(|| interpreter.run_line(&typed)) {
            Ok(Line::Incomplete) => continue,
            Ok(Line::Done) => {}
            Err(message) => output::error(&message),
        }
        reader.remember(&typed);
        typed.clear();
    }
}

/// Where lines come from.
enum Reader {
    /// A terminal, with line editing and a history.
    Editor {
        editor: Box<Editor<(), FileHistory>>,
        history: Option<PathBuf>,
    },
    /// Anything else.
    Plain,
}

impl Reader {
    fn new() -> Self {
        let can_edit =
            io::stdin().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
        if !can_edit {
            return Self::Plain;
        }
        let config = Config::builder()
            .max_history_size(HISTORY_LENGTH)
            .map(|config| config.build());
        match config.and_then(Editor::with_config) {
            Ok(mut editor) => {
                let history = history_path();
                if let Some(path) = &history {
                    // The first time there is none.
                    let _ = editor.load_history(path);
                }
                Self::Editor {
                    editor: Box::new(editor),
                    history,
                }
            }
            Err(_) => Self::Plain,
        }
    }

    fn read(&mut self, interpreter: &Interpreter, prompt: &str) -> Input {
        match self {
            Self::Editor { editor, .. } => match editor.readline(prompt) {
                Ok(line) => Input::Line(line.into_bytes()),
                Err(ReadlineError::Interrupted) => Input::Cleared,
                Err(ReadlineError::Eof) => Input::End,
                Err(error) => {
                    output::error(format!("cannot read from the terminal: {error}").as_bytes());
                    Input::End
                }
            },
            Self::Plain => interpreter
                .read_line(prompt)
                .map_or(Input::End, Input::Line),
        }
    }

    /// Adds to the history and its file at once: the next line may end the process.
    fn remember(&mut self, typed: &[u8]) {
        let Self::Editor { editor, history } = self else {
            return;
        };
        let added = editor.add_history_entry(String::from_utf8_lossy(typed));
        if let (Ok(true), Some(path)) = (added, history.as_deref())
            && let Err(error) = append(editor, path)
        {
            let message = format!("cannot keep the history in {}: {error}", path.display());
            output::error(message.as_bytes());
            *history = None; // said once
        }
    }
}

fn append(editor: &mut Editor<(), FileHistory>, path: &Path) -> rustyline::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    editor.append_history(path)
}

/// `$LUAVORTEX_HISTORY`, else a file below the XDG state directory. An empty value keeps no history.
fn history_path() -> Option<PathBuf> {
    if let Some(path) = env::var_os("LUAVORTEX_HISTORY") {
        return (!path.is_empty()).then(|| PathBuf::from(path));
    }
    let state = env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("luavortex/history"))
}
