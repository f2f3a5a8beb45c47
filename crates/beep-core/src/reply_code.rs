//! The three-digit reply codes (RFC 3080 §8).

use std::fmt;

/// A three-digit reply code, 100..=999, as `<error>` and `<close>` carry it (RFC 3080 §8).
///
/// ```
/// use beep_core::ReplyCode;
/// assert_eq!(ReplyCode::new(554), Some(ReplyCode::TRANSACTION_FAILED));
/// assert_eq!(ReplyCode::TRANSACTION_FAILED.meaning(), Some("transaction failed"));
/// assert_eq!(ReplyCode::new(99), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// Makes a code, or `None` when `code` has not three digits.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 999 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The code as an integer.
    pub const fn value(self) -> u16 {
        self.0
    }
}

/// One line a code: its constant and, as its meaning, the words of RFC 3080 §8.
macro_rules! reply_codes {
    ($($code:literal $name:ident $meaning:literal;)*) => {
        impl ReplyCode {
            $(
                #[doc = concat!("Code ", $code, ": ", $meaning, ".")]
                pub const $name: Self = Self($code);
            )*

            /// What RFC 3080 §8 says the code means, or `None` for a code it does not list.
            pub const fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($meaning),)*
                    _ => None,
                }
            }
        }
    };
}

reply_codes! {
    200 SUCCESS "success";
    421 SERVICE_NOT_AVAILABLE "service not available";
    450 ACTION_NOT_TAKEN "requested action not taken";
    451 ABORTED "requested action aborted";
    454 TEMPORARY_AUTH_FAILURE "temporary authentication failure";
    500 GENERAL_SYNTAX_ERROR "general syntax error";
    501 PARAMETER_SYNTAX_ERROR "syntax error in parameters";
    504 PARAMETER_NOT_IMPLEMENTED "parameter not implemented";
    530 AUTH_REQUIRED "authentication required";
    534 AUTH_MECHANISM_INSUFFICIENT "authentication mechanism insufficient";
    535 AUTH_FAILURE "authentication failure";
    537 NOT_AUTHORIZED "action not authorized for user";
    538 MECHANISM_NEEDS_ENCRYPTION "authentication mechanism requires encryption";
    550 ACTION_REFUSED "requested action not taken";
    553 PARAMETER_INVALID "parameter invalid";
    554 TRANSACTION_FAILED "transaction failed";
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_three_digits() {
        assert_eq!(ReplyCode::new(99), None);
        assert_eq!(ReplyCode::new(100).map(ReplyCode::value), Some(100));
        assert_eq!(ReplyCode::new(999).and_then(ReplyCode::meaning), None);
        assert_eq!(ReplyCode::new(1000), None);
    }
}
