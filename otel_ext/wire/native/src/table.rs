//! The key table and the name rules, compiled for lookup by bytes.

use memchr::arch::all::{is_equal, is_prefix, is_suffix};

use crate::places::{self, Step};
use crate::value::{Member, Value};

/// `otel_ext.wire.table.Field`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Goal {
    Kind,
    Operation,
    Tool,
    Model,
    Agent,
    Service,
    CallId,
    Arguments,
    Result,
    Output,
    InputTokens,
    OutputTokens,
    CachedTokens,
    ReasoningTokens,
    Cost,
    Conversation,
    Error,
    OutputMessages,
    InputMessages,
    FlatOutput,
    FlatInput,
    Text,
    Mark,
    InputTokensNet,
    CacheWriteTokens,
    User,
    Declared,
    FlatDeclared,
    Finish,
    Refused,
}

pub const GOALS: [Goal; 30] = [
    Goal::Kind,
    Goal::Operation,
    Goal::Tool,
    Goal::Model,
    Goal::Agent,
    Goal::Service,
    Goal::CallId,
    Goal::Arguments,
    Goal::Result,
    Goal::Output,
    Goal::InputTokens,
    Goal::OutputTokens,
    Goal::CachedTokens,
    Goal::ReasoningTokens,
    Goal::Cost,
    Goal::Conversation,
    Goal::Error,
    Goal::OutputMessages,
    Goal::InputMessages,
    Goal::FlatOutput,
    Goal::FlatInput,
    Goal::Text,
    Goal::Mark,
    Goal::InputTokensNet,
    Goal::CacheWriteTokens,
    Goal::User,
    Goal::Declared,
    Goal::FlatDeclared,
    Goal::Finish,
    Goal::Refused,
];

/// A set of step kinds, one bit a kind.
#[derive(Clone, Copy, Debug)]
pub struct Kinds(u32);

impl Kinds {
    /// Empty means any.
    pub fn new(kinds: &[u8]) -> Self {
        if kinds.is_empty() { Self(u32::MAX) } else { Self(kinds.iter().fold(0, |bits, kind| bits | 1 << (kind & 31))) }
    }

    #[inline]
    pub fn has(self, kind: u8) -> bool {
        self.0 >> (kind & 31) & 1 == 1
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub goal: Goal,
    pub rank: i32,
    pub values: Vec<(Vec<u8>, i64)>,
    pub kinds: Kinds,
    pub narrow: Option<Box<Narrow>>, // few have one, and what most have not should not be looked at
}

/// Where an attribute stands, and what of its value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    pub scope: Vec<u8>,
    pub event: Vec<u8>,
    pub path: Option<Vec<Step>>,
    pub between: Option<(Vec<u8>, Vec<u8>)>,
}

impl Narrow {
    fn derived(&self, value: Value, payload: &[u8]) -> Option<Value> {
        let value = match &self.path {
            Some(path) => at_path(path, value, payload)?,
            None => value,
        };
        let Some((before, after)) = &self.between else {
            return Some(value);
        };
        let text = (value.member == Member::String).then(|| value.bytes(payload))?;
        let (start, end) = places::between(text, before, after)?;
        Some(Value { start: value.start + start, end: value.start + end, ..value })
    }
}

fn at_path(path: &[Step], value: Value, payload: &[u8]) -> Option<Value> {
    let text = (value.member == Member::String).then(|| value.bytes(payload))?;
    let place = places::find(text, path)?;
    let found = Value { start: value.start + place.start, end: value.start + place.end, ..Value::default() };
    Some(match place.first {
        b'{' | b'[' => Value { member: Member::Json, ..found },
        b't' | b'f' => Value { member: Member::Bool, bits: u64::from(place.first == b't'), ..found },
        first => {
            let escaped = first == b'"' && memchr::memchr(b'\\', found.bytes(payload)).is_some();
            Value { member: Member::String, escaped, ..found }
        }
    })
}

impl Entry {
    /// Whether a span of `kind` in `scope` may use it.
    #[inline]
    pub fn fits(&self, kind: u8, scope: &[u8]) -> bool {
        self.kinds.has(kind) && self.in_scope(scope)
    }

    #[inline]
    pub fn in_scope(&self, scope: &[u8]) -> bool {
        self.narrow.as_ref().is_none_or(|narrow| is_prefix(scope, &narrow.scope))
    }

    /// What it takes of `value`: all of it, or what stands at its path or between its markers.
    #[inline]
    pub fn derived(&self, value: Value, payload: &[u8]) -> Option<Value> {
        match &self.narrow {
            Some(narrow) => narrow.derived(value, payload),
            None => Some(value),
        }
    }

    pub fn event(&self) -> &[u8] {
        self.narrow.as_ref().map_or(b"", |narrow| &narrow.event)
    }

    pub fn value_of(&self, text: &[u8]) -> Option<i64> {
        self.values.iter().find(|(name, _)| is_equal(name, text)).map(|(_, value)| *value)
    }

    /// Like `value_of`; a text that is not in the table has the value of the empty one.
    pub fn kind_of(&self, text: &[u8]) -> Option<i64> {
        self.value_of(text).or_else(|| self.value_of(b""))
    }
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub prefix: Vec<u8>,
    pub kind: Option<u8>,
    pub take: Option<Goal>,
    pub kinds: Kinds,
    pub scope: Vec<u8>,
    pub suffix: Vec<u8>,
}

impl Rule {
    /// What `name` has between prefix and suffix, where it has both.
    fn rest<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        // memchr's comparisons are for short texts; libc's are a call each.
        if !is_prefix(name, &self.prefix) {
            return None;
        }
        let middle = name.get(self.prefix.len()..)?;
        is_suffix(middle, &self.suffix).then(|| middle.get(..middle.len() - self.suffix.len()))?
    }
}

/// A set of rules, one bit a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet([u128; 2]);

/// `RULES_MAX` of `otel_ext/wire/compile.py`.
const RULES_MAX: usize = 256;

impl RuleSet {
    fn of(rules: &[Rule], fits: impl Fn(&Rule) -> bool) -> Self {
        let mut set = Self::default();
        for (number, _) in rules.iter().enumerate().take(RULES_MAX).filter(|(_, rule)| fits(rule)) {
            if let Some(word) = set.0.get_mut(number >> 7) {
                *word |= 1 << (number & 127);
            }
        }
        set
    }

    fn and(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Self([a & c, b & d])
    }

    /// The numbers of the rules in it, in order.
    fn numbers(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let number = (bits != 0).then(|| word << 7 | bits.trailing_zeros() as usize);
                bits &= bits.wrapping_sub(1);
                number
            })
        })
    }
}

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
