//! The key table and the name rules, compiled for lookup by bytes.

use memchr::arch::all::{is_equal, is_prefix};

use crate::keys::{Entry, Goal, Rule, RuleSet};

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub depth_max: usize,
    pub names_max: usize,
    pub name_bytes_max: usize,
    pub requests_max: usize,
    pub answers_max: usize,
}

/// The keys of one event: few, so they are gone through.
#[derive(Debug)]
struct Event {
    name: Vec<u8>,
    first: usize,
    count: usize,
}

/// Both ends of a key, overlapping, and its length: all of a key of up to 32 bytes, and enough of a longer one to find it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Print {
    length: usize,
    head: [u64; 2],
    tail: [u64; 2],
}

const PRINT_BYTES: usize = 32;

impl Print {
    #[inline]
    fn of(key: &[u8]) -> Self {
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let (head, tail) = if let (Some(first), Some(last)) = (key.first_chunk::<16>(), key.last_chunk::<16>()) {
            (halves(first), halves(last))
        } else if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            ([word(first), word(last)], [0; 2])
        } else {
            ([key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0], [0; 2])
        };
        Self { length: key.len(), head, tail }
    }

    #[inline]
    fn hash(&self) -> usize {
        let [a, b] = self.head;
        let [c, d] = self.tail;
        let mixed = (a ^ d.rotate_left(29)).wrapping_add(b ^ c.rotate_left(17)).wrapping_add(self.length as u64);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

#[inline]
fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    print: Print,
    first: u32,
    count: u32, // 0: free
}

/// Entries by exact name (open addressing, entries of one name side by side), those of events, prefixes, and rules: which fit a kind, and
/// which the first byte of a span's name. Which fit a scope is asked once a scope, so that a span looks at next to none.
#[derive(Debug)]
pub struct Table {
    exact: Vec<Entry>, // those of events after the others
    events: Vec<Event>,
    slots: Vec<Slot>,
    flat: Vec<Entry>,
    flat_first: [bool; 256],
    rules: Vec<Rule>,
    by_kind: Vec<RuleSet>,
    by_byte: Vec<RuleSet>, // the last is for an empty name
}

const EMPTY_NAME: usize = 256;

#[inline]
pub fn key_hash(key: &[u8]) -> usize {
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0),
    };
    let mixed = (head ^ tail.rotate_left(29)).wrapping_add(key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize
}

impl Table {
    pub fn new(entries: Vec<Entry>, rules: Vec<Rule>) -> Self {
        let (flat, mut exact): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| matches!(entry.goal, Goal::FlatOutput | Goal::FlatInput | Goal::FlatDeclared));
        exact.sort_by(|a, b| (a.event(), &a.name).cmp(&(b.event(), &b.name))); // stable: entries of one name keep their order
        let plain = exact.iter().take_while(|entry| entry.event().is_empty()).count();
        let mut flat_first = [false; 256];
        for (byte, known) in flat_first.iter_mut().enumerate() {
            *known = flat.iter().any(|entry| entry.name.first().is_none_or(|first| usize::from(*first) == byte));
        }
        let starts = |byte| move |rule: &Rule| rule.prefix.first().is_none_or(|first| usize::from(*first) == byte);
        let by_byte = (0..=EMPTY_NAME).map(|byte| RuleSet::of(&rules, starts(byte))).collect();
        let by_kind = (0..32).map(|kind| RuleSet::of(&rules, |rule| rule.kinds.has(kind))).collect();
        let slots = Self::slots(exact.get(..plain).unwrap_or_default());
        let events = Self::events(&exact, plain);
        Self { exact, events, slots, flat, flat_first, rules, by_kind, by_byte }
    }

    fn slots(exact: &[Entry]) -> Vec<Slot> {
        let mut slots = vec![Slot::default(); (exact.len() * 4).next_power_of_two()];
        let mask = slots.len() - 1;
        let mut first = 0;
        for group in exact.chunk_by(|a, b| a.name == b.name) {
            let print = group.first().map_or_else(Print::default, |entry| Print::of(&entry.name));
            let mut at = print.hash();
            while slots.get(at & mask).is_some_and(|slot| slot.count > 0) {
                at += 1;
            }
            if let Some(slot) = slots.get_mut(at & mask) {
                *slot = Slot { print, first, count: group.len() as u32 };
            }
            first += group.len() as u32;
        }
        slots
    }

    fn events(exact: &[Entry], plain: usize) -> Vec<Event> {
        let mut first = plain;
        let groups = exact.get(plain..).unwrap_or_default().chunk_by(|a, b| a.event() == b.event());
        groups
            .map(|group| {
                let name = group.first().map_or(b"".as_slice(), Entry::event).to_vec();
                first += group.len();
                Event { name, first: first - group.len(), count: group.len() }
            })
            .collect()
    }

    /// Whether any event tells something.
    #[inline]
    pub fn reads_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The number of an event.
    pub fn event(&self, name: &[u8]) -> Option<usize> {
        self.events.iter().position(|event| is_equal(&event.name, name))
    }

    /// The entries of the attributes of an event, with the number of the first.
    pub fn event_entries(&self, number: usize) -> Option<(usize, &[Entry])> {
        let event = self.events.get(number)?;
        Some((event.first, self.exact.get(event.first..event.first + event.count)?))
    }

    /// The entries of `key`, with the number of the first.
    #[inline]
    pub fn find(&self, key: &[u8]) -> (usize, &[Entry]) {
        let mask = self.slots.len().wrapping_sub(1);
        let print = Print::of(key);
        let mut at = print.hash();
        // At most a quarter of the slots is taken, so a free one ends the search.
        while let Some(slot) = self.slots.get(at & mask) {
            if slot.count == 0 {
                break;
            }
            if slot.print == print {
                let first = slot.first as usize;
                let entries = self.exact.get(first..first + slot.count as usize).unwrap_or_default();
                if key.len() <= PRINT_BYTES || entries.first().is_some_and(|entry| is_equal(&entry.name, key)) {
                    return (first, entries);
                }
            }
            at += 1;
        }
        (0, &[])
    }

    #[inline]
    pub fn entry(&self, number: usize) -> Option<&Entry> {
        self.exact.get(number)
    }

    /// The flat entries, where `key` may have one of their prefixes.
    #[inline]
    pub fn flat(&self, key: &[u8]) -> &[Entry] {
        match key.first() {
            Some(first) if self.flat_first.get(usize::from(*first)) == Some(&true) => &self.flat,
            _ => &[],
        }
    }

    #[inline]
    pub fn flat_entry(&self, number: usize) -> Option<&Entry> {
        self.flat.get(number)
    }

    /// The rules for spans of a scope.
    pub fn rules_of(&self, scope: &[u8]) -> RuleSet {
        RuleSet::of(&self.rules, |rule| is_prefix(scope, &rule.scope))
    }

    /// The first rule of `set` that fits, and the rest of the name.
    #[inline]
    pub fn rule<'a>(&self, set: RuleSet, kind: u8, name: &'a [u8]) -> Option<(&Rule, &'a [u8])> {
        let byte = name.first().map_or(EMPTY_NAME, |byte| usize::from(*byte));
        let set = set.and(*self.by_byte.get(byte)?).and(*self.by_kind.get(usize::from(kind & 31))?);
        set.numbers().find_map(|number| {
            let rule = self.rules.get(number)?;
            Some((rule, rule.rest(name)?))
        })
    }
}
