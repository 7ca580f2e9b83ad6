//! The slashing rule: when strikes are more than chance explains. Its derivation and its twin in Python are in
//! `backend/assay/domain/strikes.py`; a test recomputes the constants from the logarithms.

/// Fewer judgements convict nobody, however they went.
pub const MIN_JUDGEMENTS: u32 = 20;
/// How many honest error rates `Params.error_rate` can name: 5, 10, … 40 %.
pub const ERROR_RATES: usize = crate::constants::ERROR_RATES as usize;
/// ⌈10⁶ · ln(1000 · 4)⌉: a thousand to one, against each of four alternatives.
const THRESHOLD: u64 = 8_294_050;

/// (⌊10⁶ · ln(p1/p0)⌋, ⌈10⁶ · ln((1−p0)/(1−p1))⌉) for each honest error rate p0 and four alternatives p1.
#[rustfmt::skip]
const LINES: [[(u32, u32); 4]; ERROR_RATES] = [
    [(1704748, 270291), (2302585, 641854), (2708050, 1335002), (2944438, 2944439)], // 50 per mille
    [(1098612, 251315), (1609437, 587787), (2014903, 1280934), (2251291, 2890372)], // 100 per mille
    [(773189, 230524), (1203972, 530629), (1609437, 1223776), (1845826, 2833214)], // 150 per mille
    [(559615, 207640), (916290, 470004), (1321755, 1163151), (1558144, 2772589)], // 200 per mille
    [(405465, 182322), (693147, 405466), (1098612, 1098613), (1335001, 2708051)], // 250 per mille
    [(287682, 154151), (510825, 336473), (916290, 1029620), (1152679, 2639058)], // 300 per mille
    [(194156, 122603), (356674, 262365), (762140, 955512), (998528, 2564950)], // 350 per mille
    [(117783, 87012), (223143, 182322), (628608, 875469), (864997, 2484907)], // 400 per mille
];

/// Whether `strikes` of `judgements` are beyond chance for the honest error rate of that index. An unknown index convicts nobody.
pub fn is_outlier(strikes: u32, judgements: u32, error_rate: u8) -> bool {
    if judgements < MIN_JUDGEMENTS || strikes > judgements || error_rate as usize >= ERROR_RATES {
        return false;
    }
    // k·a ≥ (n − k)·b + c, without the difference: sBPF v3 sign-extends the results of 32-bit arithmetic, which the compiler
    // takes to be zero-extended, and it narrows a 64-bit difference of two u32 to 32 bits. Both products stay below 2^55.
    let (strikes, judgements) = (strikes as u64, judgements as u64);
    LINES[error_rate as usize].iter().any(|&(gain, cost)| {
        strikes.wrapping_mul(gain as u64 + cost as u64) >= judgements.wrapping_mul(cost as u64) + THRESHOLD
    })
}
