//! Where any of a set of words stands: the twin of `otel_ext/wire/finder.py`.

use aho_corasick::{AhoCorasick, MatchKind};

pub struct Finder {
    words: Option<AhoCorasick>,
    around: Vec<u8>,
}

const START: u8 = 1;
const NAME: u8 = 2;

impl Finder {
    /// Words, each with what must be around it.
    pub fn new(words: &[(Vec<u8>, u8)]) -> Result<Self, String> {
        let patterns: Vec<&[u8]> = words.iter().map(|(word, _)| word.as_slice()).collect();
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&patterns).map_err(|error| error.to_string())?;
        let words_or_none = if words.is_empty() { None } else { Some(built) };
        Ok(Self { words: words_or_none, around: words.iter().map(|(_, around)| *around).collect() })
    }

    /// Packed rows: place and number of the word, u32 each.
    pub fn find(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(words) = &self.words else { return out };
        for hit in words.find_iter(payload) {
            let number = hit.pattern().as_usize();
            if self.around.get(number).is_some_and(|around| fits(payload, hit.start(), hit.end(), *around)) {
                out.extend_from_slice(&(hit.start() as u32).to_le_bytes());
                out.extend_from_slice(&(number as u32).to_le_bytes());
            }
        }
        out
    }
}

fn fits(payload: &[u8], start: usize, end: usize, around: u8) -> bool {
    match around {
        START => {
            let before = payload.get(start.saturating_sub(6)..start).unwrap_or_default();
            match before.split_last() {
                Some((last, earlier)) if last.is_ascii_alphanumeric() || *last == b'_' => {
                    earlier.iter().any(|byte| matches!(byte, 0x0a | 0x12 | 0x2a))
                }
                _ => true,
            }
        }
        NAME => matches!(payload.get(end), Some(b'"' | b'\\' | 0x12)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_where_their_surroundings_fit() {
        let finder = Finder::new(&[(b"sk-".to_vec(), START), (b"key".to_vec(), NAME)]);
        let hits = finder.map(|finder| finder.find(b"sk-a task-b \"key\":1 keys"));
        assert_eq!(hits, Ok([0_u32, 0, 13, 1].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()));
    }
}
