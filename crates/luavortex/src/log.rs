//! The engine's log: `ctx.log`, `ctx.log2`, `ctx.color_log` and the environment variables that switch it on.

use std::io::IsTerminal;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt, registry};

/// The switches. They belong to the process, not to one context.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    /// What happens to connections and channels.
    Log,
    /// Every frame, too.
    Log2,
    /// With ANSI colours.
    Color,
}

static LOG: AtomicBool = AtomicBool::new(false);
static LOG2: AtomicBool = AtomicBool::new(false);
static COLOR: AtomicBool = AtomicBool::new(false);

fn switch(level: Level) -> &'static AtomicBool {
    match level {
        Level::Log => &LOG,
        Level::Log2 => &LOG2,
        Level::Color => &COLOR,
    }
}

pub(crate) fn is_on(level: Level) -> bool {
    switch(level).load(Ordering::Relaxed)
}

/// Turns a switch; the first that is turned on installs the log.
pub(crate) fn set(level: Level, on: bool) {
    switch(level).store(on, Ordering::Relaxed);
    if on && !matches!(level, Level::Color) {
        install();
    }
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let filter = dynamic_filter_fn(|metadata, _| {
            let most = if is_on(Level::Log2) {
                LevelFilter::TRACE
            } else if is_on(Level::Log) {
                LevelFilter::DEBUG
            } else {
                LevelFilter::OFF
            };
            *metadata.level() <= most
        });
        let layer = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(is_on(Level::Color) && std::io::stderr().is_terminal())
            .with_filter(filter);
        // A program that embeds us may have a log of its own; then it gets the lines.
        let _ = tracing::subscriber::set_global_default(registry().with(layer));
    });
}

/// Reads the environment, once: a number above 0 switches on.
pub(crate) fn init_from_environment() {
    let is_set = |name: &str| {
        std::env::var(name)
            .is_ok_and(|value| value.trim().parse::<i64>().is_ok_and(|number| number > 0))
    };
    if is_set("VORTEX_DEBUG_COLOR") || is_set("LUA_VORTEX_DEBUG_COLOR") {
        set(Level::Color, true);
    }
    if is_set("VORTEX_DEBUG") || is_set("LUA_VORTEX_DEBUG") {
        set(Level::Log, true);
    }
    if is_set("VORTEX_DEBUG2") {
        set(Level::Log2, true);
    }
}
