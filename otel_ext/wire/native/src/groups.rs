//! What the steps of one trace come to, so that a trace in which nothing repeats need not be looked at step by step.
//! `otel_ext/wire/steps.py` does the same.

use crate::rows::{AGENT, EMPTY, HANDOFF, LLM, MCP, Packer, REPETITIVE, STEP_CUT, Step, TOOL, TRUNCATED};

pub const GROUP_BYTES: usize = 32;
pub const REPEATS: u32 = 1;
pub const DUPLICATE: u32 = 2;
pub const DOUBLED: u32 = 4;
pub const UNUSUAL: u32 = 8;
pub const SIMILAR: u32 = 16;

const ODD: u8 = TRUNCATED | STEP_CUT | EMPTY | REPETITIVE;
const DOUBLED_NS: u64 = 50_000_000;
const SIMILAR_BITS_MAX: u32 = 2;
const SIMILAR_STEPS_MAX: usize = 64;

#[derive(Default)]
pub struct Summary {
    trace: u32,
    count: u32,
    models: u32,
    agents: u32,
    flags: u32,
    tokens: u64,
}

/// Lists of one group, used again for the next.
#[derive(Default)]
pub struct Scratch {
    calls: Vec<u64>,               // name and arguments of tool steps
    outputs: Vec<(u32, u32, u64)>, // a, b and end of the model steps that have an output
    silent: Vec<(u32, u32, u64)>,  // c, b and end of those that have none, but tokens and a parent
    models: Vec<(u32, u32)>,       // span and parent of model steps
}

impl Summary {
    /// `steps` are sorted.
    pub fn of(steps: &[Step], scratch: &mut Scratch) -> Self {
        let mut summary = Self { trace: steps.first().map_or(0, |step| step.order.0), count: steps.len() as u32, ..Self::default() };
        scratch.calls.clear();
        scratch.outputs.clear();
        scratch.silent.clear();
        scratch.models.clear();
        let mut odd = 0;
        for step in steps {
            odd |= step.flags;
            match step.kind {
                TOOL => scratch.calls.push(u64::from(step.name) << 32 | u64::from(step.a)),
                LLM => {
                    summary.tokens += u64::from(step.b);
                    scratch.models.push((step.order.2 as u32, step.c));
                    if step.a != 0 {
                        scratch.outputs.push((step.a, step.b, step.order.1));
                    } else if step.b != 0 && step.c != 0 {
                        scratch.silent.push((step.c, step.b, step.order.1));
                    }
                }
                AGENT => summary.agents += 1,
                HANDOFF => summary.flags |= UNUSUAL,
                MCP => summary.flags |= DOUBLED,
                _ => {}
            }
        }
        summary.models = scratch.models.len() as u32;
        summary.flags |= if odd & ODD == 0 { 0 } else { UNUSUAL };
        summary.flags |= of_calls(&mut scratch.calls) | of_models(&mut scratch.models, &mut scratch.outputs);
        scratch.silent.sort_unstable();
        let twice = |pair: &[(u32, u32, u64)]| matches!(pair, [one, other] if (one.0, one.1) == (other.0, other.1) && other.2 - one.2 <= DOUBLED_NS);
        if scratch.silent.windows(2).any(twice) {
            summary.flags |= DOUBLED;
        }
        let same = |pair: &[Step]| matches!(pair, [one, other] if one.order.1 == other.order.1 && one.order.2 == other.order.2);
        if steps.windows(2).any(same) {
            summary.flags |= DUPLICATE;
        }
        summary
    }

    /// A row of the groups; `first` is the number of the first step.
    pub fn pack(&self, first: u32) -> [u8; GROUP_BYTES] {
        let mut out = Packer::<GROUP_BYTES>::new();
        for value in [self.trace, first, self.count, self.models, self.agents, self.flags] {
            out.put(value.to_le_bytes());
        }
        out.put(self.tokens.to_le_bytes());
        out.row
    }
}

fn of_calls(calls: &mut [u64]) -> u32 {
    calls.sort_unstable();
    calls.windows(2).fold(0, |flags, pair| match pair {
        [one, other] if one == other => flags | REPEATS,
        [one, other] if one >> 16 == other >> 16 && (*one as u32) >> 16 != 0 => flags | SIMILAR,
        _ => flags,
    })
}

fn of_models(models: &mut [(u32, u32)], outputs: &mut [(u32, u32, u64)]) -> u32 {
    if models.len() < 2 {
        return 0;
    }
    outputs.sort_unstable();
    let mut flags = outputs.windows(2).fold(0, |flags, pair| match pair {
        [one, other] if one.0 != other.0 => flags,
        [one, other] if one.1 == other.1 && other.2 - one.2 <= DOUBLED_NS => flags | REPEATS | DOUBLED,
        _ => flags | REPEATS,
    });
    models.sort_unstable();
    let has = |span: u32| models.binary_search_by_key(&span, |(span, _)| *span).is_ok();
    if models.iter().any(|(span, parent)| *parent != 0 && parent != span && has(*parent)) {
        flags |= DOUBLED;
    }
    if alike(outputs) { flags | SIMILAR } else { flags }
}

/// Whether two that differ are alike, or there are too many to tell.
fn alike(outputs: &[(u32, u32, u64)]) -> bool {
    let near = |one: u32, other: u32| one != other && ((one ^ other) >> 16).count_ones() <= SIMILAR_BITS_MAX;
    outputs.len() > SIMILAR_STEPS_MAX
        || outputs.iter().enumerate().any(|(at, one)| outputs.iter().skip(at + 1).any(|other| near(one.0, other.0)))
}
