//! The attributes of one span that some key of the table wants, and which of them are the best.

use memchr::arch::all::is_equal;

use crate::flat::{self, Item};
use crate::keys::{Entry, Goal};
use crate::messages::Messages;
use crate::prints::Printer;
use crate::table::Table;
use crate::value::{Member, Value};

/// An attribute that some key of the table wants, in wire order.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub entry: u32,
    pub value: Value,
}

/// A place that may tell output, requests or answers; sorted by rank, then wire order.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub rank: i32,
    pub place: usize,
    pub goal: Goal,
    pub value: Value,
    pub entry: usize,
    pub event: bool,
}

/// Buffers of one span, used again for the next.
#[derive(Default)]
pub struct Scratch<'a> {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) kind: Option<(i32, u8)>,
    pub(crate) declared: Vec<Candidate>, // of flat entries
    pub(crate) items: Vec<Item>,
    pub(crate) sorted: Vec<Item>,
    pub(crate) outputs: Vec<Source>,
    pub(crate) inputs: Vec<Source>,
    pub(crate) messages: Messages<'a>,
    pub(crate) joined: Vec<u8>,
    pub(crate) printer: Printer,
    pub(crate) recent: Vec<(&'a [u8], u16, bool)>, // names by hash: the spans of a payload mostly repeat a few
}

impl Scratch<'_> {
    #[inline]
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.declared.clear();
        self.items.clear();
        self.outputs.clear();
        self.inputs.clear();
        self.kind = None;
    }

    /// Notes an attribute, where the table knows its key.
    #[inline]
    pub fn attribute(&mut self, table: &Table, payload: &[u8], scope: &[u8], key: &[u8], value: Value) {
        let (first, entries) = table.find(key);
        self.note(first, entries, payload, scope, value);
        if entries.is_empty() && value.member == Member::String {
            self.flat(table, key, value);
        }
    }

    /// Notes an attribute of an event; `entries` are those of the event, from number `first` on.
    pub fn event_attribute(&mut self, (first, entries): (usize, &[Entry]), payload: &[u8], scope: &[u8], key: &[u8], value: Value) {
        for (offset, entry) in entries.iter().enumerate().filter(|(_, entry)| is_equal(&entry.name, key)) {
            self.note(first + offset, std::slice::from_ref(entry), payload, scope, value);
        }
    }

    #[inline]
    fn note(&mut self, first: usize, entries: &[Entry], payload: &[u8], scope: &[u8], value: Value) {
        for (offset, entry) in entries.iter().enumerate() {
            if entry.goal != Goal::Kind {
                self.candidates.push(Candidate { entry: (first + offset) as u32, value });
                continue;
            }
            let value = if entry.in_scope(scope) { entry.derived(value, payload) } else { None };
            let text = value.filter(|value| value.member == Member::String && value.start < value.end);
            if let Some(kind) = text.and_then(|text| entry.kind_of(&text.plain(payload))) {
                if self.kind.is_none_or(|(rank, _)| entry.rank < rank) {
                    self.kind = Some((entry.rank, kind as u8));
                }
            }
        }
    }

    fn flat(&mut self, table: &Table, key: &[u8], value: Value) {
        for (number, entry) in table.flat(key).iter().enumerate() {
            // Every such key has an index after its prefix, so that most are told apart by one byte.
            if !key.get(entry.name.len()).is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let Some(rest) = key.strip_prefix(entry.name.as_slice()) else {
                continue;
            };
            if entry.goal == Goal::FlatDeclared {
                if flat::declares(rest) {
                    self.declared.push(Candidate { entry: number as u32, value });
                }
            } else if let Some(slot) = flat::slot(rest) {
                let place = self.candidates.len();
                self.items.push(Item { entry: number, place, slot, start: value.start, end: value.end });
            }
        }
    }

    /// Adds the flat entries that have items, each at the place of its first, and sorts by rank, then place.
    pub(crate) fn sort_sources(&mut self, table: &Table, kind: u8, scope: &[u8]) {
        let mut seen = 0_u64;
        for item in &self.items {
            let bit = 1_u64 << (item.entry & 63);
            let Some(entry) = table.flat_entry(item.entry).filter(|entry| seen & bit == 0 && entry.fits(kind, scope)) else {
                continue;
            };
            seen |= bit;
            let source =
                Source { rank: entry.rank, place: item.place, goal: entry.goal, value: Value::default(), entry: item.entry, event: false };
            if entry.goal == Goal::FlatOutput { self.outputs.push(source) } else { self.inputs.push(source) }
        }
        let order = |source: &Source| (source.rank, source.place, !matches!(source.goal, Goal::FlatOutput | Goal::FlatInput), source.entry);
        self.outputs.sort_by_key(order);
        self.inputs.sort_by_key(order);
    }
}

const FIELDS: usize = Goal::User as usize + 1;
pub(crate) const RECENT: usize = 64;

/// The best candidate so far of each field that takes one: its rank above its place, so that one number tells both.
pub(crate) struct Best([u64; FIELDS]);

const NOBODY: u64 = u64::MAX;

impl Default for Best {
    fn default() -> Self {
        Self([NOBODY; FIELDS])
    }
}

impl Best {
    #[inline]
    pub fn offer(&mut self, goal: Goal, rank: i32, place: usize) {
        if let Some(winner) = self.0.get_mut(goal as usize) {
            if *winner == NOBODY || rank < (*winner >> 32) as i32 {
                *winner = u64::from(rank as u32) << 32 | place as u64 & 0xffff_ffff;
            }
        }
    }

    /// The rank of the best for `goal`.
    pub fn rank(&self, goal: Goal) -> Option<i32> {
        self.0.get(goal as usize).filter(|winner| **winner != NOBODY).map(|winner| (*winner >> 32) as i32)
    }

    #[inline]
    pub fn get(&self, goal: Goal, candidates: &[Candidate]) -> Option<Value> {
        let winner = self.0.get(goal as usize).filter(|winner| **winner != NOBODY)?;
        candidates.get((*winner & 0xffff_ffff) as usize).map(|candidate| candidate.value)
    }
}
