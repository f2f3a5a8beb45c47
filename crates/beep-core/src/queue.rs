//! A queue that needs no memory of its own for one element: nearly all queues of nearly all sessions hold one at a time,
//! and would allocate and free with every message otherwise.

use std::collections::VecDeque;

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// The oldest; `None` only while there is none at all.
    first: Option<T>,
    #[expect(
        clippy::box_collection,
        reason = "empty, as nearly always, it takes a quarter of the room"
    )]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            first: None,
            rest: None,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.len());
        usize::from(self.first.is_some()) + rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push_back(&mut self, element: T) {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.rest.get_or_insert_default().push_back(element);
        }
    }

    pub(crate) fn push_front(&mut self, element: T) {
        if let Some(second) = self.first.replace(element) {
            self.rest.get_or_insert_default().push_front(second);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let element = self.first.take()?;
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
            if self.first.is_none() {
                // Most sessions are idle most of the time.
                self.rest = None;
            }
        }
        Some(element)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        let rest = self.rest.as_ref().and_then(|rest| rest.back());
        rest.or(self.first.as_ref())
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        let rest = self.rest.as_mut().and_then(|rest| rest.back_mut());
        rest.or(self.first.as_mut())
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.rest.as_ref()?.get(index),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.rest.as_mut()?.get_mut(index),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        self.first.iter().chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_queue_of_the_library_does(steps in prop::collection::vec(0..4, 0..40)) {
            let mut queue = Queue::default();
            let mut model = VecDeque::new();
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        queue.push_front(at);
                        model.push_front(at);
                    }
                    1 | 2 => {
                        queue.push_back(at);
                        model.push_back(at);
                    }
                    _ => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert_eq!(queue.front(), model.front());
                prop_assert_eq!(queue.front_mut(), model.front_mut());
                prop_assert_eq!(queue.back(), model.back());
                prop_assert_eq!(queue.back_mut(), model.back_mut());
                prop_assert!(queue.iter().eq(&model));
                for index in 0..=model.len() {
                    prop_assert_eq!(queue.get(index), model.get(index));
                    prop_assert_eq!(queue.get_mut(index), model.get_mut(index));
                }
            }
        }
    }
}
