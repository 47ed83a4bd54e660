/**
 * Characters that look like a Latin letter and that no Unicode normalization turns into one, by the letter that they
 * look like.
 *
 * `confusables` are those of Unicode's confusables.txt, as npm's `unhomoglyph` 1.0.6 carries them (Unicode licence):
 * entries that stand for one Latin letter, without marks and without Chinese characters. A test compares them with that
 * package. `more` are ours: small capitals, letters with strokes, and Cyrillic capitals in small.
 */
const confusables: Readonly<Record<string, string>> = {
  a: "⍺ɑα𝛂𝛼𝜶𝝰𝞪аΑ𝚨𝛢𝜜𝝖𝞐АᎪᗅꓮ𖽀𐊠",
  b: "ƄЬᏏᑲᖯꞴΒ𝚩𝛣𝜝𝝗𝞑ВᏴᗷꓐ𐊂𐊡𐌁",
  c: "ᴄϲⲥсꮯ𐐽🝌𑣲𑣩ϹⲤСᏟꓚ𐊢𐌂𐐕𐔜",
  d: "ԁᏧᑯꓒᎠᗞᗪꓓ",
  e: "℮ꬲеҽ⋿Ε𝚬𝛦𝜠𝝚𝞔ЕⴹᎬꓰ𑢦𑢮𐊆",
  f: "ꬵꞙẝք𝈓ꞘϜ𝟊ᖴꓝ𑣂𑢢𐊇𐊥𐔥",
  g: "ɡᶃƍցԌᏀᏳꓖ",
  h: "һհᏂΗ𝚮𝛨𝜢𝝜𝞖ⲎНᎻᕼꓧ𐋏",
  i: "˛⍳ı𝚤ɪɩιιͺ𝛊𝜄𝜾𝝸𝞲іꙇӏꭵᎥ𑣃",
  j: "ϳјꞲͿЈᎫᒍꓙ",
  k: "Κ𝚱𝛫𝜥𝝟𝞙ⲔКᏦᛕꓗ𐔘",
  l: "׀∣⏽￨١۱𐌠𞣇ƖǀΙ𝚰𝛪𝜤𝝞𝞘ⲒІӀוןا𞸀𞺀ﺎﺍߊⵏᛁꓲ𖼨𐊊𐌉𝈪ⳐᏞᒪꓡ𖼖𑢣𑢲𐐛𐔦",
  m: "Μ𝚳𝛭𝜧𝝡𝞛ϺⲘМᎷᗰᛖꓟ𐊰𐌑𑣣𑜀",
  n: "ոռΝ𝚴𝛮𝜨𝝢𝞜Ⲛꓠ𐔓",
  o: "०੦૦௦౦೦൦๐໐၀٥۵ᴏᴑꬽο𝛐𝜊𝝄𝝾𝞸σ𝛔𝜎𝝈𝞂𝞼ⲟоჿօסه𞸤𞹤𞺄ﻫﻬﻪﻩھﮬﮭﮫﮪہﮨﮩﮧﮦەഠဝ𐓪𑣈𑣗𐐬߀০୦𑓐𑣠Ο𝚶𝛰𝜪𝝤𝞞ⲞОՕⵔዐଠ𐓂ꓳ𑢵𐊒𐊫𐐄𐔖",
  p: "⍴ρϱ𝛒𝛠𝜌𝜚𝝆𝝔𝞀𝞎𝞺𝟈ⲣрΡ𝚸𝛲𝜬𝝦𝞠ⲢРᏢᑭꓑ𐊕",
  q: "ԛգզⵕ",
  r: "ꭇꭈᴦⲅгꮁ𝈖ƦᎡᏒ𐒴ᖇꓣ𖼵",
  s: "ꜱƽѕꮪ𑣁𐑈ЅՏᏕᏚꓢ𖼺𐊖𐐠",
  t: "⊤⟙🝨Τ𝚻𝛵𝜯𝝩𝞣ⲦТᎢꓔ𖼊𑢼𐊗𐊱𐌕",
  u: "ꞟᴜꭎꭒʋυ𝛖𝜐𝝊𝞄𝞾ս𐓶𑣘∪⋃Սሀ𐓎ᑌꓴ𖽂𑢸",
  v: "∨⋁ᴠν𝛎𝜈𝝂𝝼𝞶ѵט𑜆ꮩ𑣀𝈍٧۷ѴⴸᏙᐯꛟꓦ𖼈𑢠𐔝",
  w: "ɯᴡѡԝա𑜊𑜎𑜏ꮃ𑣯𑣦ԜᎳᏔꓪ",
  x: "᙮×⤫⤬⨯хᕁᕽ᙭╳𐌢𑣬ꞳΧ𝚾𝛸𝜲𝝬𝞦ⲬХⵝᚷꓫ𐊐𐊴𐌗𐔧",
  y: "ɣᶌʏỿꭚγℽ𝛄𝛾𝜸𝝲𝞬уүყ𑣜Υϒ𝚼𝛶𝜰𝝪𝞤ⲨУҮᎩᎽꓬ𖽃𑢤𐊲",
  z: "ᴢꮓ𑣄𐋵𑣥Ζ𝚭𝛧𝜡𝝛𝞕Ꮓꓜ𑢩",
};

const more: Readonly<Record<string, string>> = {
  a: "ɐ",
  b: "ʙвβƀ",
  d: "ᴅđ",
  e: "ᴇǝəε",
  f: "ꜰƒ",
  g: "ɢ",
  h: "ʜнħ",
  i: "ɪ",
  j: "ᴊ",
  k: "ᴋкκ",
  l: "ʟł",
  m: "ᴍм",
  n: "ɴη",
  o: "øɵ",
  p: "ᴘ",
  r: "ʀ",
  t: "ᴛтτŧ",
  u: "μ",
  x: "χ",
  y: "ʏ",
  z: "ƶ",
};

/** Those among the look-alikes of `l` that have its foot: the others are mere strokes, and could be an `i`. */
const FOOTED_L = "ⳐᏞᒪꓡ𖼖𑢣𑢲𐐛𐔦ʟł";

/** Stands for a mere stroke: a capital I, a bar, and what looks like them. It may mean `i` or `l`. */
export const STROKE = "\uE000";

/** What a character looks like: a letter `a` to `z`, or `STROKE`; by code point. */
export const homoglyphs: ReadonlyMap<number, string> = new Map(
  [confusables, more].flatMap((table) =>
    Object.entries(table).flatMap(([letter, glyphs]) =>
      Array.from(glyphs, (glyph): [number, string] => [
        glyph.codePointAt(0) ?? 0,
        letter === "l" && !FOOTED_L.includes(glyph) ? STROKE : letter,
      ]),
    ),
  ),
);

export { confusables };
