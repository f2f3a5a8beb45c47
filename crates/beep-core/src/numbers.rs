//! The numbers of RFC 3080 §2.2.1 as types that own their ranges and their arithmetic.

use std::fmt;

/// The largest channel, message and answer number, and the largest frame size (RFC 3080 §2.2.1).
pub(crate) const MAX_31_BITS: u32 = 2_147_483_647;

/// Writes what the three numbers of 0..2147483647 have in common.
macro_rules! number_of_31_bits {
    ($name:ident) => {
        impl $name {
            /// The largest number, 2147483647.
            pub const MAX: Self = Self(MAX_31_BITS);

            /// Makes a number, or `None` when `value` is over 2147483647.
            pub const fn new(value: u32) -> Option<Self> {
                if value <= MAX_31_BITS {
                    Some(Self(value))
                } else {
                    None
                }
            }

            /// The number as an integer, 0..=2147483647.
            pub const fn value(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The number of a channel, 0..=2147483647 (RFC 3080 §2.2.1.1).
///
/// ```
/// use beep_core::ChannelNumber;
/// assert!(ChannelNumber::MANAGEMENT.is_management());
/// assert_eq!(ChannelNumber::new(3).map(|number| number.to_string()), Some("3".to_string()));
/// assert_eq!(ChannelNumber::new(2_147_483_648), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u32);

number_of_31_bits!(ChannelNumber);

impl ChannelNumber {
    /// Channel 0, on which channels are started and closed (RFC 3080 §2.3).
    pub const MANAGEMENT: Self = Self(0);

    /// Whether this is channel 0.
    pub const fn is_management(self) -> bool {
        self.0 == 0
    }
}

/// The number of a message on its channel, 0..=2147483647 (RFC 3080 §2.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgNo(u32);

number_of_31_bits!(MsgNo);

impl MsgNo {
    /// Number 0: that of the greeting, and of the first MSG we send on a channel.
    pub const ZERO: Self = Self(0);

    /// The number after this one; 0 follows 2147483647.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == MAX_31_BITS {
            Self(0)
        } else {
            Self(self.0 + 1)
        }
    }
}

/// The number of an answer among those to one message, 0..=2147483647 (RFC 3080 §2.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnsNo(u32);

number_of_31_bits!(AnsNo);

impl AnsNo {
    /// Number 0: that of the first answer we send to a message.
    pub const ZERO: Self = Self(0);

    /// The number after this one; 0 follows 2147483647.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == MAX_31_BITS {
            Self(0)
        } else {
            Self(self.0 + 1)
        }
    }
}

/// The position of an octet in all that one side sends on a channel, modulo 2^32 (RFC 3080 §2.2.1.1).
///
/// Sequence numbers wrap, so they have no order; [`SeqNo::distance_from`] compares two of them.
///
/// ```
/// use beep_core::SeqNo;
/// let last = SeqNo::new(u32::MAX);
/// assert_eq!(last.advance(2), SeqNo::new(1));
/// assert_eq!(SeqNo::new(1).distance_from(last), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqNo(u32);

impl SeqNo {
    /// The first octet that a side sends on a channel.
    pub const ZERO: Self = Self(0);

    /// Makes a sequence number; every 32-bit integer is one.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number as an integer.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The position `octets` further on, modulo 2^32.
    #[must_use]
    pub const fn advance(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }

    /// The octets from `earlier` up to here, modulo 2^32.
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_end_at_2147483647() {
        assert_eq!(ChannelNumber::new(MAX_31_BITS), Some(ChannelNumber::MAX));
        assert_eq!(MsgNo::new(MAX_31_BITS + 1), None);
        assert_eq!(AnsNo::new(u32::MAX), None);
    }

    #[test]
    fn message_and_answer_numbers_go_from_the_largest_to_zero() {
        assert_eq!(MsgNo::ZERO.next().value(), 1);
        assert_eq!(MsgNo::MAX.next(), MsgNo::ZERO);
        assert_eq!(AnsNo::MAX.next(), AnsNo::ZERO);
    }

    proptest! {
        #[test]
        fn next_stays_in_range(value in prop_oneof![0..=MAX_31_BITS, MAX_31_BITS - 2..=MAX_31_BITS]) {
            let next = MsgNo::new(value).unwrap().next();
            prop_assert!(MsgNo::new(next.value()).is_some());
            prop_assert_eq!(u64::from(next.value()), (u64::from(value) + 1) % (1 << 31));
        }

        #[test]
        fn distance_undoes_advance_across_the_wrap(start: u32, octets: u32) {
            let start = SeqNo::new(start);
            prop_assert_eq!(start.advance(octets).distance_from(start), octets);
        }

        #[test]
        fn advancing_twice_is_advancing_by_the_sum(start: u32, first in 0..=MAX_31_BITS, second in 0..=MAX_31_BITS) {
            prop_assert_eq!(SeqNo::new(start).advance(first).advance(second), SeqNo::new(start).advance(first + second));
        }
    }
}
