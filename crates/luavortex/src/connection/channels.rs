//! The channels of one connection, by number and by uid.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::channel::ChannelState;

/// Cost does not grow with how many there are.
#[derive(Default)]
pub(crate) struct Channels {
    by_number: BTreeMap<u32, Rc<ChannelState>>,
    numbers: BTreeMap<u64, u32>,
}

impl Channels {
    pub(crate) fn insert(&mut self, channel: Rc<ChannelState>) {
        let number = channel.number.value();
        self.numbers.insert(channel.uid, number);
        self.by_number.insert(number, channel);
    }

    /// Takes a channel out; it is gone from then on.
    pub(crate) fn remove(&mut self, uid: u64) {
        let number = self.numbers.remove(&uid);
        if let Some(channel) = number.and_then(|number| self.by_number.remove(&number)) {
            channel.is_gone.set(true);
        }
    }

    /// Takes all channels out.
    pub(crate) fn clear(&mut self) {
        for channel in std::mem::take(self).by_number.into_values() {
            channel.is_gone.set(true);
        }
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<Rc<ChannelState>> {
        self.by_number.get(&number).cloned()
    }

    pub(crate) fn by_uid(&self, uid: u64) -> Option<Rc<ChannelState>> {
        self.by_number(*self.numbers.get(&uid)?)
    }

    /// Those that count among the channels of the connection, ascending by number.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Rc<ChannelState>> {
        self.by_number
            .values()
            .filter(|channel| channel.is_known.get())
    }
}
