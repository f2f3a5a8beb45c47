//! From samples to a table, to a file, and into the book.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::options::Options;
use super::peers::Peer;
use super::workloads::Workload;
use crate::Failure;
use crate::workspace::Workspace;

/// One round of one peer.
pub(crate) struct Sample {
    /// What the client printed.
    pub(crate) line: Value,
    /// None without the raw value that it would be compared with.
    pub(crate) figure: Option<f64>,
}

pub(crate) struct Column {
    pub(crate) peer: Peer,
    /// A sample for each round, or what went wrong.
    pub(crate) outcome: Result<Vec<Sample>, Failure>,
}

/// A workload, and what came of it.
pub(crate) struct Row {
    pub(crate) workload: &'static Workload,
    /// Why it cannot be measured on this machine.
    pub(crate) obstacle: Option<&'static str>,
    /// What went wrong with `raw_limit`.
    pub(crate) problem: Option<Failure>,
    pub(crate) raw: Vec<Value>,
    pub(crate) columns: Vec<Column>,
}

impl Row {
    pub(crate) fn new(workload: &'static Workload, peers: &[Peer]) -> Self {
        let columns = peers.iter().map(|peer| Column {
            peer: *peer,
            outcome: Ok(Vec::new()),
        });
        Self {
            workload,
            obstacle: None,
            problem: None,
            raw: Vec::new(),
            columns: columns.collect(),
        }
    }

    /// The newest figures, for who watches.
    pub(crate) fn progress(&self) -> String {
        let mut text = format!("{} ({})", self.workload.name, self.workload.cores.name());
        if let Some(obstacle) = self.obstacle {
            let _ = write!(text, " not measured: {obstacle}");
            return text;
        }
        if let Some(problem) = &self.problem {
            let _ = write!(text, " raw failed: {problem}");
        }
        for Column { peer, outcome } in &self.columns {
            let newest = match outcome {
                Err(problem) => format!("failed: {problem}"),
                Ok(samples) => match samples.last().and_then(|sample| sample.figure) {
                    Some(figure) => short(figure),
                    None => "nothing".to_owned(),
                },
            };
            let _ = write!(text, " | {} {newest}", peer.title());
        }
        text
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        let columns = self.columns.iter().filter_map(|column| {
            let problem = column.outcome.as_ref().err()?;
            Some((column.peer.title(), problem))
        });
        let raw = self
            .problem
            .iter()
            .map(|problem| ("raw".to_owned(), problem));
        raw.chain(columns)
            .map(|(who, problem)| format!("{} by {who} failed: {problem}", self.workload.name))
            .collect()
    }

    fn line(&self) -> String {
        let workload = self.workload;
        let mut cells = vec![
            format!("{}: {}", workload.name, workload.what),
            workload.cores.name().to_owned(),
            workload.unit.to_owned(),
        ];
        let raw = self
            .raw
            .iter()
            .filter_map(|line| line.get("value")?.as_f64());
        cells.push(Spread::of(raw).map_or_else(|| "-".to_owned(), |raw| short(raw.median)));
        for (index, column) in self.columns.iter().enumerate() {
            let spread = column.spread();
            cells.push(match (&column.outcome, &spread) {
                _ if self.obstacle.is_some() => "not measured".to_owned(),
                (Err(_), _) => "failed".to_owned(),
                (_, None) => "-".to_owned(),
                (_, Some(spread)) => spread.to_string(),
            });
            if index == 0 {
                let goal = |goal: Option<f64>| goal.map_or_else(|| "-".to_owned(), short);
                let met = match (spread, workload.must, workload.aim) {
                    (Some(spread), _, Some(aim)) if workload.reaches(spread.median, aim) => "aim",
                    (Some(spread), Some(must), _) if workload.reaches(spread.median, must) => {
                        "must"
                    }
                    (Some(_), Some(_), _) => "**no**",
                    _ => "-",
                };
                cells.extend([goal(workload.must), goal(workload.aim), met.to_owned()]);
            }
        }
        format!("| {} |\n", cells.join(" | "))
    }

    fn json(&self) -> Value {
        let columns = self.columns.iter().map(|column| {
            let (samples, failed) = match &column.outcome {
                Ok(samples) => (samples.as_slice(), None),
                Err(problem) => (&[][..], Some(problem)),
            };
            let lines: Vec<&Value> = samples.iter().map(|sample| &sample.line).collect();
            let figures: Vec<Option<f64>> = samples.iter().map(|sample| sample.figure).collect();
            json!({ "peer": column.peer.title(), "figures": figures, "lines": lines, "failed": failed })
        });
        json!({
            "workload": self.workload.name,
            "cores": self.workload.cores.name(),
            "unit": self.workload.unit,
            "must": self.workload.must,
            "aim": self.workload.aim,
            "not_measured": self.obstacle,
            "raw": self.raw,
            "raw_failed": self.problem,
            "columns": columns.collect::<Vec<_>>(),
        })
    }
}

impl Column {
    fn spread(&self) -> Option<Spread> {
        let samples = self.outcome.as_ref().ok()?;
        Spread::of(samples.iter().filter_map(|sample| sample.figure))
    }
}

/// The middle of some figures, and between what they lie.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let upper = *figures.get(figures.len() / 2)?;
        let lower = *figures.get((figures.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            least,
            most,
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(
            formatter,
            "{} ({}..{})",
            short(*median),
            short(*least),
            short(*most)
        )
    }
}

/// Three digits that count.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{figure:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// The table, in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut titles = vec![
        "workload".to_owned(),
        "cores".to_owned(),
        "unit".to_owned(),
        "raw".to_owned(),
    ];
    for (index, column) in first.columns.iter().enumerate() {
        titles.push(column.peer.title());
        if index == 0 {
            titles.extend(["must", "aim", "met"].map(str::to_owned));
        }
    }
    let mut text = format!(
        "| {} |\n|{}\n",
        titles.join(" | "),
        "---|".repeat(titles.len())
    );
    for row in rows {
        text.push_str(&row.line());
    }
    text
}

/// Saves what was measured, and writes the table into the book, as far as the options say so.
pub(crate) fn keep(options: &Options, rows: &[Row], table: &str) -> Result<(), Failure> {
    let machine = machine();
    if let Some(file) = &options.save {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        let all = json!({
            "machine": machine,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "rows": rows,
        });
        fs::write(file, format!("{all:#}\n"))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if options.write {
        let Options {
            seconds, rounds, ..
        } = options;
        let text = format!("{machine}; {rounds} rounds of {seconds} s.\n\n{table}");
        into_book(&text)?;
    }
    Ok(())
}

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

fn into_book(text: &str) -> Result<(), Failure> {
    let page = Workspace::read()?.root()?.join("docs/performance.md");
    let failed = |problem: String| format!("{}: {problem}", page.display());
    let old = fs::read_to_string(&page).map_err(|error| failed(error.to_string()))?;
    let parts = old
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        parts.ok_or_else(|| failed("the marks of the figures are gone".to_owned()))?;
    fs::write(&page, format!("{before}{BEGIN}{text}{END}{after}"))
        .map_err(|error| failed(error.to_string()))
}

/// When, on what machine and with which version it was measured.
fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.ok().filter(|output| output.status.success());
        output.map_or_else(
            || "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let cpu = named
        .and_then(|line| line.split_once(':'))
        .map_or("a CPU without a name", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, commit {}, {cores} cores of {cpu}, Linux {}",
        said("date", &["-u", "+%F"]),
        said("git", &["describe", "--always", "--dirty"]),
        said("uname", &["-r"]),
    )
}
