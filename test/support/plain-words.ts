import ts from 'typescript'

export interface Phrase {
  readonly not: RegExp
  readonly but: string
}

/** What insiders say, and what the field says. Comments and names are not held to it. */
export const PHRASES: readonly Phrase[] = [
  {not: /\bst(?:ands?|ood|anding) still\b/i, but: 'is frozen, downtime'},
  {not: /\b(?:go(?:es|ing)?|went|gone) on\b/i, but: 'continues, resumes, is now running on'},
  {not: /\b(?:runs|ran|running) on(?=[,.;:)]| and\b| unless\b|$)/i, but: 'keeps running'},
  {not: /\b(?:told|tells?|telling)\b/i, but: 'reports, shows, sets'},
  {not: /\basked\b/i, but: 'requested'},
  {not: /\bheard\b/i, but: 'received, seen'},
  {not: /\ba look\b|\blook(?:s|ed|ing)? (?:at|again|whether|that)\b/i, but: 'checks, shows, reads'},
  {not: /\b(?:let|lets|letting) go\b/i, but: 'resume, thaw, release'},
  {not: /\b(?:mend|heal)(?:s|ed|ing)?\b/i, but: 'fix, repair'},
  {not: /\bt(?:ook|akes?|aking|aken) (?:a|the|no|one) checkpoint/i, but: 'create a checkpoint'},
  {not: /\bthe words of\b/i, but: 'syntax, arguments'},
  {not: /\bnobody (?:says|knows|else)\b|\bnobody\b/i, but: 'is not set, no one'},
  {not: /\bsomebody\b/i, but: 'someone, another'},
  {not: /\b(?:cannot|can|could|to) be had\b/i, but: 'unavailable, not found, available'},
  {not: /\b(?:cannot be|is|was|are|that is) meant\b/i, but: 'is invalid, is intended'},
  {not: /\bfigures?\b/i, but: 'metric, measurement, number'},
  {not: /\bby hand\b/i, but: 'manually'},
  {not: /\banew\b/i, but: 'again'},
  {not: /\bkinds? of machines?\b/i, but: 'node, VM'},
  {not: /\bmemory and all\b/i, but: 'including its memory'},
  {not: /\bis new here\b/i, but: 'trusting … on first use'},
  {not: /\bknows? better\b/i, but: 'to skip a check'},
  {not: /\b(?:in the way|stands? in)\b/i, but: 'blocks'},
  {not: /\b(?:any more|no more(?= [^t]|$))\b/i, but: 'no longer'},
  {not: /\b(?:is|are|be|was|not|than|as|what is|all) wanted\b/i, but: 'expected, desired'},
  {not: /\bcarried along\b/i, but: 'included'},
  {not: /\bg(?:ive|ives|iven|ave) back\b/i, but: 'release, return'},
  {not: /\b(?:go|goes|going|went) away\b/i, but: 'is deleted'},
  {not: /\bbehind the back\b/i, but: 'outside of clouder'},
  {not: /\bsays? (?:nothing|so|that it|what|who|where|why)\b/i, but: 'reports, sets, prints'},
  {not: /\b(?:may|can) be given many times\b/i, but: 'can be repeated'},
]

/** A piece of text; in which line it is only counted when that is needed. */
export interface Text {
  readonly lineOf: () => number
  readonly text: string
}

export interface Hit {
  readonly line: number
  readonly found: string
  readonly but: string
}

/** The texts of a TypeScript file: string literals and the fixed parts of templates, not what is imported. */
export function literalsOf(path: string, source: string): readonly Text[] {
  const jsDocParsingMode = ts.JSDocParsingMode.ParseNone
  const file = ts.createSourceFile(path, source, {languageVersion: ts.ScriptTarget.Latest, jsDocParsingMode})
  const found: Text[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      const lineOf = (): number => file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1
      found.push({lineOf, text: node.text})
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** The prose of a page, line by line: code is left empty. */
export function proseOf(page: string): readonly Text[] {
  const blank = (code: string): string => code.replace(/[^\n]/g, ' ')
  const prose = page.replace(/^```[^]*?^```/gm, blank).replace(/`[^`\n]*`/g, blank)
  return prose.split('\n').map((text, at) => ({lineOf: () => at + 1, text}))
}

const ANY_PHRASE = new RegExp(PHRASES.map(({not}) => not.source).join('|'), 'i')

export function hitsIn(texts: readonly Text[]): readonly Hit[] {
  // Nearly all texts have none, which one expression finds out sooner than thirty.
  return texts
    .filter(({text}) => ANY_PHRASE.test(text))
    .flatMap(({lineOf, text}) =>
      PHRASES.flatMap(({not, but}) => {
        const found = not.exec(text)?.[0]
        return found === undefined ? [] : [{line: lineOf(), found, but}]
      }),
    )
}
