//! Pair tests: two sessions on a virtual clock, their octets delivered whole, one by one or cut at random.

mod closing;
mod flow;
mod greetings;
mod limits;
mod messages;
mod pair;
mod random;
mod raw;
mod releasing;
mod starting;
mod tuning;
mod wrap;
