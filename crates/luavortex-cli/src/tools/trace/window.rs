//! How much one side may send on a channel, as the relay sees it (RFC 3081 §3.1).

/// Octets that a side may send on a channel before the first SEQ (RFC 3081 §3.1.1).
const INITIAL: u32 = 4096;

/// What one side sent on a channel, and what it may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Sequence number of the next octet.
    next: u32,
    /// The first sequence number that may not be sent.
    end: u32,
}

impl Window {
    pub(super) fn new() -> Self {
        Window {
            next: 0,
            end: INITIAL,
        }
    }

    /// Octets that may be sent; negative when more was sent than is allowed.
    pub(super) fn room(self) -> i64 {
        // Both lie within 2^31 of each other, so the difference is right across the wrap.
        i64::from(self.end.wrapping_sub(self.next).cast_signed())
    }

    /// A frame was sent. Tells what is wrong with it.
    pub(super) fn sent(&mut self, seqno: u32, size: u32) -> Vec<String> {
        let mut faults = Vec::new();
        if seqno != self.next {
            faults.push(format!(
                "sequence number {seqno}, where {} was due (RFC 3080 §2.2.1.2)",
                self.next
            ));
        }
        // The window moves along with a wrong number, so that one fault does not make others.
        let moved = seqno.wrapping_sub(self.next);
        self.end = self.end.wrapping_add(moved);
        self.next = seqno.wrapping_add(size);
        let room = self.room();
        if room < 0 {
            faults.push(format!(
                "{} octets more than the window allows (RFC 3081 §3.1.2)",
                -room
            ));
        }
        faults
    }

    /// The other side granted a window. Tells what is wrong with that.
    pub(super) fn granted(&mut self, ackno: u32, size: u32) -> Vec<String> {
        let mut faults = Vec::new();
        if ackno.wrapping_sub(self.next).cast_signed() > 0 {
            faults.push(format!(
                "acknowledges {ackno}, sent was up to {} (RFC 3081 §3.1.3)",
                self.next
            ));
        }
        let end = ackno.wrapping_add(size);
        let growth = end.wrapping_sub(self.end).cast_signed();
        if growth < 0 {
            faults.push(format!(
                "takes back {} octets of the window (RFC 3081 §3.1.4)",
                i64::from(growth).abs()
            ));
        }
        self.end = end;
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_begins_with_4096_octets() {
        let mut window = Window::new();
        assert!(window.sent(0, 4000).is_empty());
        assert_eq!(window.room(), 96);
        assert!(window.granted(4000, 8192).is_empty());
        assert_eq!(window.room(), 8192);
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        let mut window = Window::new();
        assert!(window.sent(0, 5000)[0].contains("904 octets more"));
        assert!(window.granted(5000, 4096).is_empty());
        assert!(window.sent(7, 0)[0].contains("sequence number 7, where 5000 was due"));
        let mut window = Window::new();
        assert!(window.granted(1, 5000)[0].contains("acknowledges 1, sent was up to 0"));
        assert!(window.granted(0, 5000)[0].contains("takes back 1 octets"));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut window = Window {
            next: u32::MAX - 9,
            end: (u32::MAX - 9).wrapping_add(4096),
        };
        assert!(window.sent(u32::MAX - 9, 20).is_empty());
        assert_eq!(window.room(), 4076);
        assert!(window.granted(10, 4096).is_empty());
        assert_eq!(window.room(), 4096);
    }
}
