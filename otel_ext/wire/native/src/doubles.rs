//! One call is one step, whoever told of it: which steps of a payload go. `otel_ext/wire/doubles.py` does the same.

use crate::names::NAME_OTHER;
use crate::rows::Step;

const HOPS_MAX: usize = 16; // calls inside of calls; damaged parents may go in a circle
const SIEVE_BITS: u32 = 12;
const NOBODY: u32 = u32::MAX;

/// The ids of a step of kind TOOL.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub step: u32,
    pub trace: u32,
    pub span_id: u64,
    pub parent_id: u64,
}

/// Span ids of calls, one bit for many: most parents are no calls, and this tells at once.
struct Sieve([u64; 1 << (SIEVE_BITS - 6)]);

impl Sieve {
    fn of(calls: &[Call]) -> Self {
        let mut sieve = Self([0; 1 << (SIEVE_BITS - 6)]);
        for call in calls {
            let (word, bit) = Self::place(call.span_id);
            if let Some(word) = sieve.0.get_mut(word) {
                *word |= bit;
            }
        }
        sieve
    }

    fn place(id: u64) -> (usize, u64) {
        let place = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE_BITS);
        (place as usize >> 6, 1 << (place & 63))
    }

    fn may_have(&self, id: u64) -> bool {
        let (word, bit) = Self::place(id);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The steps that go, by number; what they tell is added to the ones that stand for them. `calls` are in the order of their steps.
pub fn gone(steps: &mut [Step], calls: &[Call]) -> Vec<u32> {
    if calls.is_empty() {
        return Vec::new();
    }
    let inside = parents(steps, calls);
    if !inside.is_empty() {
        fill(steps, calls, &inside);
    }
    calls.iter().zip(&inside).filter(|(_, parent)| **parent != NOBODY).map(|(call, _)| call.step).collect()
}

/// For each call the number of the call that tells of the same one, NOBODY for none; empty where there is none at all.
fn parents(steps: &[Step], calls: &[Call]) -> Vec<u32> {
    let sieve = Sieve::of(calls);
    if !calls.iter().any(|call| call.parent_id != 0 && sieve.may_have(call.parent_id)) {
        return Vec::new();
    }
    let mut order: Vec<(u32, u64, u32)> =
        calls.iter().enumerate().map(|(number, call)| (call.trace, call.span_id, number as u32)).collect();
    order.sort_unstable(); // of a span that is there twice the first comes first
    let find = |call: &Call| {
        let place = order.partition_point(|(trace, id, _)| (*trace, *id) < (call.trace, call.parent_id));
        order.get(place).filter(|(trace, id, _)| (*trace, *id) == (call.trace, call.parent_id)).map(|(_, _, number)| *number)
    };
    let parent = |(number, call): (usize, &Call)| {
        let parent = find(call).filter(|parent| *parent as usize != number)?;
        let parent_step = steps.get(calls.get(parent as usize)?.step as usize)?;
        same(steps.get(call.step as usize)?, parent_step).then_some(parent)
    };
    calls.iter().enumerate().map(|pair| parent(pair).unwrap_or(NOBODY)).collect()
}

/// Whether a step tells of the same call as that of its parent.
fn same(step: &Step, parent: &Step) -> bool {
    step.name == parent.name && step.name > NAME_OTHER
}

fn fill(steps: &mut [Step], calls: &[Call], inside: &[u32]) {
    let step_of = |number: u32| calls.get(number as usize).map(|call| call.step as usize);
    for (call, parent) in calls.iter().zip(inside) {
        let inner = steps.get(call.step as usize).copied().filter(|_| *parent != NOBODY);
        let outer = outermost(*parent, inside).and_then(step_of);
        if let (Some(inner), Some(outer)) = (inner, outer.and_then(|outer| steps.get_mut(outer))) {
            outer.take(&inner);
        }
    }
}

fn outermost(mut number: u32, inside: &[u32]) -> Option<u32> {
    for _ in 0..HOPS_MAX {
        match inside.get(number as usize) {
            Some(&NOBODY) => return Some(number),
            Some(parent) => number = *parent,
            None => return None,
        }
    }
    None
}
