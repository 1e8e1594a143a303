/**
 * The words of the simulator's vocabulary: plain stems, and the forms derived from them. Their order is part of the model:
 * token ids follow from it, so a change here changes every text that the simulator has ever produced.
 */
const STEMS =
  'able about above accept access account act add address admit adopt advance after again age agent ago agree air alarm all ' +
  'allow alone along already also always amount and angle answer any appear apply april arch area arm around arrive art as ask ' +
  'at attempt autumn away back bad balance band bank base basic batch beam bear beat because bed before begin behind bell ' +
  'below bench bend beside best better between beyond big bind bird bit black block blue board boat body bold bolt bond book ' +
  'border both bottom bound box branch bread break breath brick bridge bright bring broad brother brown brush budget build ' +
  'burn burst bus busy but button buy by cable call calm camp can canal cap card care carry case cast catch cause cell center ' +
  'chain chair chance change channel charge chart cheap check child choice circle city claim class clean clear climb clock ' +
  'close cloth cloud coal coast coat code coin cold collect color column come common compare complete copper copy corn corner ' +
  'correct cost count country couple course court cover craft crane cream create crew cross crowd crown current curve cut ' +
  'cycle daily damp dance dark data date dawn day deal dear decade december decide deep deliver delta demand depth desert ' +
  'design desk detail device diamond differ dinner direct discover dish distance divide dock doctor door double down draft ' +
  'drain draw dream dress drift drink drive drop drum dry duck dust duty each eager early earth east easy echo edge effect ' +
  'effort egg eight either elbow electric else empty end energy engine enjoy enough enter equal error even evening event ever ' +
  'every exact example except exit expect explain extra eye face fact fair fall family far farm fast father favor feather ' +
  'february feed feel fellow fence few fiber field fifth figure fill film final find fine finger finish fire firm first fish ' +
  'fit five flag flame flat fleet flight float flood floor flow flower fly focus fold follow food foot for force forest form ' +
  'forward four frame free fresh friday friend from front frost fruit fuel full garden gate gather gauge gentle gift girl give ' +
  'glad glass glide globe gold good grace grade grain grand grant graph grass gray great green grid ground group grow guard ' +
  'guess guest guide habit half hall hammer hand happen happy harbor hard harvest hat have hay head health hear heart heat ' +
  'heavy height help here hero high hill hold hollow home honest honey hope horn horse hot hour house how huge human hundred ' +
  'hurry ice idea if image in inch include index inner input inside instead invite iron island item ivory january join joint ' +
  'journal journey joy judge july jump june just keel keep kettle key kind king kitchen kite knee knot know label labor lack ' +
  'ladder lake lamp land lane large last late lathe laugh launch law layer lead leaf lean learn least leather leave left leg ' +
  'lemon lend length less lesson letter level lever lift light like limit line link lion liquid list listen little live load ' +
  'loaf local lock log long look loop loose loud love low lunch machine magnet mail main make man map march margin mark market ' +
  'master match matter may maybe meadow meal mean measure meet melt member memory mend merry message metal meter middle mild ' +
  'mile milk mill mind mine minute mirror mix model modern moment monday money month moon more morning most mother motor ' +
  'mountain mouse mouth move much music name narrow nation nature near neat neck need needle nest net never new next nice night ' +
  'nine noble node noise none noon normal north nose not note notice november now number oak object ocean october of off offer ' +
  'office often oil old olive on once one only open option or orange orbit orchard order organ other our out outer oven over own ' +
  'oxide pack page paint pair palm panel paper parade parcel park part party pass past patch path pattern pause pay peace pear ' +
  'pen people pepper perfect period person phase phone phrase piano picture piece pilot pine pipe pitch place plain plan plane ' +
  'plant plate play please plenty plow plug pocket poem point pole polish pond pool port post pot pound power practice press ' +
  'price pride prime print prize proof proper proud pulse pump pure purple push put quality quarter queen quest queue quick ' +
  'quiet quite radio rail rain raise range rapid rate rather raw ray reach read ready real reason record red reed reef relay ' +
  'remain remember remote repair reply report request rescue rest result return rhythm ribbon rice rich ride right ring ripe ' +
  'rise river road robin rock roll roof room root rope rose rough round route row rubber rule run rush safe sail salt same ' +
  'sample sand saturday save say scale scarce scatter scene school science score scout screen sea seal search season seat ' +
  'second secret seed seem select self send sense september serve set seven shade shadow shallow shape share sharp sheet shelf ' +
  'shell shift shine ship shirt shoe shore short should shoulder show shut side sight sign signal silent silk silver simple ' +
  'since single sister six size skill skin sky sleep slice slide slight slope slow small smart smile smoke smooth snow so soap ' +
  'soft soil solid solve some song soon sort sound soup south space spare spark speak speed spell spend sphere spin spirit split ' +
  'spoke spoon spot spread spring square stage stair stamp stand star start state station stay steady steam steel steep stem ' +
  'step stick still stir stone stop store storm story straight strange stream street stretch string strong study style such ' +
  'sudden sugar suit summer sun sunday supply support sure surface sweet swift swim swing switch symbol system table tail take ' +
  'talk tall tank tape target task taste teach team tell ten tent term test text than thank that the then there thick thin thing ' +
  'think third thirty this thousand thread three through thumb thunder thursday ticket tide tight tile timber time tin tiny tip ' +
  'title to today together token tone tool top total touch toward tower town trace track trade trail train travel tray treat tree ' +
  'trial tribe trip true trunk trust try tube tuesday tune turn twelve twenty twin two type under union unit until up upper urge ' +
  'use usual valley value valve vapor vast verse very vessel view village violet visit voice volume vote wagon wait wake walk ' +
  'wall want warm wash watch water wave way weak wear weather wednesday week weigh welcome well west wet whale what wheat wheel ' +
  'when where which while white whole why wide wild will wind window wing winter wire wise wish with within wolf wonder wood ' +
  'wool word work world worth wrap write yard year yellow yes yesterday yet yield young zebra zero zone';

const SUFFIXES = ['', 's', 'ed', 'ing', 'er', 'ly'];

/** Lower-case ASCII words, each once. */
export function modelWords(): string[] {
  const words = new Set<string>();
  for (const suffix of SUFFIXES) {
    for (const stem of STEMS.split(' ')) words.add(stem + suffix);
  }
  return [...words];
}

/** Characters of two, three and four UTF-8 bytes that texts contain: accents, Greek, Cyrillic, CJK, emoji. */
export const WIDE_CHARACTERS: readonly string[] = [
  ...'éèàùçñöüßøåłΩπλжщю',
  ...'的一是不了人我在有他日本語東京한국어€…✓',
  ...'😀🚀🌍🎉🔥🧪🐳🛰',
];
