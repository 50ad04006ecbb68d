//! The entries of the key table and the name rules, one by one.

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
    pub fn rest<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
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
    pub fn of(rules: &[Rule], fits: impl Fn(&Rule) -> bool) -> Self {
        let mut set = Self::default();
        for (number, _) in rules.iter().enumerate().take(RULES_MAX).filter(|(_, rule)| fits(rule)) {
            if let Some(word) = set.0.get_mut(number >> 7) {
                *word |= 1 << (number & 127);
            }
        }
        set
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Self([a & c, b & d])
    }

    /// The numbers of the rules in it, in order.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let number = (bits != 0).then(|| word << 7 | bits.trailing_zeros() as usize);
                bits &= bits.wrapping_sub(1);
                number
            })
        })
    }
}
