/** Words of up to three letters: "pen is" are two of them, "fu ck" is none. */
const SHORT_WORDS = new Set(
  (
    "a e i o u y s t d m " +
    // English
    "ad ah am an as at ax be bi by co do ed eh el em en er ex fa go ha he hi ho id if in is it la lo ma me mi mr ms mu " +
    "my no of oh ok on op or ow ox oz pa pi re so st ti to uh um un up us we ye yo " +
    "ace act add age ago aid aim air ale all and any ape apt arc are ark arm art ash ask ate awe axe bad bag ban bar " +
    "bat bay bed bee beg bet bid big bin bit bow box boy bud bug bun bus but buy bye cab can cap car cat cop cow cry " +
    "cup cut dad dam day den did die dig dim din dip dna dog dot dry due dug ear eat egg ego elf end era eve eye fan " +
    "far fat fax fed fee few fig fin fit fix fly fog for fox fry fun fur gap gas gel gem get god got gum gun gut guy " +
    "gym had ham has hat hay hen her hey hid him hip his hit hop hot how hug hut ice icy ill ink inn ion its jam jar " +
    "jaw jet job jog joy jug key kid kin kit lab lap law lay led leg let lid lie lip lit log lot low mad man map mat " +
    "may men met mid mix mob mom mud mug nap net new nod nor not now nun nut oak odd off oil old one opt orb ore our " +
    "out owe owl own pad pal pan par pat paw pay pea peg pen per pet pie pig pin pit ply pod pop pot pro pub pup put " +
    "rag ram ran rap rat raw ray red rib rid rig rim rip rob rod rot row rub rug run rye sad sat saw say sea see set " +
    "she shy sin sir sit six ski sky sly son sow soy spa spy sub sue sum sun tab tag tan tap tar tax tea ten the tie " +
    "tin tip toe ton too top toy try tub two use van vat vet via vow war was wax way web wed wet who why wig win wit " +
    "won yes yet you zip zoo " +
    // The short words of other languages that put spaces between words.
    "al au ce da de del dem den der des det di die du ein eis el en es est et eu fur ge ha hat ich il ist je kan las " +
    "le les lo los mas mit na nas ne ni nos og om os ou pas per por que qui sa se sei ses si sie sin son su sur te tu " +
    "tut um una und une uno van vi von was wie wir zu zum"
  ).split(" "),
);

export function isShortWord(word: string): boolean {
  return SHORT_WORDS.has(word.replaceAll("\uE000", "i"));
}
