//! beep-core
