//! beep-session
