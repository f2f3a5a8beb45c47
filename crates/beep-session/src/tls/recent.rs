//! Things that are costly to make, kept while they are in use.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The values asked for of late, by what they were made of. The one not asked for longest makes room for another.
pub(super) struct Recent<K, V> {
    /// The latest first.
    kept: Mutex<VecDeque<(K, V)>>,
    most: usize,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub(super) const fn new(most: usize) -> Self {
        Recent {
            kept: Mutex::new(VecDeque::new()),
            most,
        }
    }

    /// The value for `key`, made if it is not there.
    pub(super) fn get_or_make<E>(
        &self,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        // Without the lock: others need not wait for what they do not want. Two may make the same, and the
        // later one is kept.
        let value = make()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| *other != key);
        kept.truncate(self.most.saturating_sub(1));
        kept.push_front((key, value.clone()));
        Ok(value)
    }

    fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == key)?;
        let entry = kept.remove(at)?;
        let value = entry.1.clone();
        kept.push_front(entry);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_not_asked_for_longest_is_made_anew() {
        let recent = Recent::new(2);
        let made = std::cell::Cell::new(0);
        let ask = |key: &'static str| {
            recent.get_or_make(key, || {
                made.set(made.get() + 1);
                Ok::<_, ()>(made.get())
            })
        };
        assert_eq!((ask("a"), ask("b"), ask("a")), (Ok(1), Ok(2), Ok(1)));
        assert_eq!((ask("c"), ask("a"), ask("b")), (Ok(3), Ok(1), Ok(4)));
    }

    #[test]
    fn what_could_not_be_made_is_tried_again() {
        let recent = Recent::new(2);
        assert_eq!(recent.get_or_make(1, || Err::<(), _>("no")), Err("no"));
        assert_eq!(recent.get_or_make(1, || Ok::<_, ()>(())), Ok(()));
    }
}
