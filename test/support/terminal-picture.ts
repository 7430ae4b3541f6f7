import {fileURLToPath} from 'node:url'
import {text} from 'node:stream/consumers'

/** How a stretch of a line looks. */
interface Look {
  readonly colour: string | undefined
  readonly bold: boolean
  readonly dim: boolean
}

interface Stretch extends Look {
  readonly column: number
  readonly text: string
}

const PLAIN: Look = {colour: undefined, bold: false, dim: false}
const COLOURS = ['#484f58', '#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf', '#c9d1d9']
const FOREGROUND = '#e6edf3'
const BACKGROUND = '#0d1117'
const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace'
const FONT_PX = 14
const COLUMN_PX = 8.43
const LINE_PX = 20
const MARGIN_PX = 18
const SGR = '\u001B['

/** A terminal's screen, as `tmux capture-pane -e -p` prints it, as an SVG picture. `prompt` is a line put above it. */
export function pictureOf(screen: string, prompt?: string): string {
  const lines = stretchesOf(screen.trimEnd())
  const all = prompt === undefined ? lines : [[{...PLAIN, bold: true, column: 0, text: prompt}], ...lines]
  const columns = Math.max(
    ...all.map((line) => line.reduce((end, {column, text}) => Math.max(end, column + text.length), 0)),
  )
  const width = Math.ceil(columns * COLUMN_PX + 2 * MARGIN_PX)
  const height = all.length * LINE_PX + 2 * MARGIN_PX
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="${FONT_PX}" fill="${FOREGROUND}">`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    ...all.flatMap((line, index) => {
      const y = MARGIN_PX + index * LINE_PX + FONT_PX
      return line.filter(({text}) => text.trim() !== '').map((stretch) => textElement(stretch, y))
    }),
    '</svg>',
    '',
  ].join('\n')
}

/** The lines of a screen, each cut where its colour or weight changes. Escapes other than SGR are left out. */
function stretchesOf(screen: string): readonly (readonly Stretch[])[] {
  let look = PLAIN
  return screen.split('\n').map((line) => {
    let column = 0
    return line.split(SGR).flatMap((part, index): readonly Stretch[] => {
      const code = index === 0 ? undefined : /^([\d;]*)([A-Za-z])/.exec(part)
      if (code?.[2] === 'm') look = lookAfter(look, code[1] ?? '')
      const shown = code ? part.slice(code[0].length) : part
      const at = column
      column += shown.length
      return shown === '' ? [] : [{...look, column: at, text: shown}]
    })
  })
}

function lookAfter(look: Look, codes: string): Look {
  return codes
    .split(';')
    .map(Number)
    .reduce((now, code): Look => {
      if (code === 0) return PLAIN
      if (code === 1) return {...now, bold: true}
      if (code === 2) return {...now, dim: true}
      if (code === 22) return {...now, bold: false, dim: false}
      if (code === 39) return {...now, colour: undefined}
      const colour = COLOURS[code >= 90 && code < 98 ? code - 90 : code >= 30 && code < 38 ? code - 30 : -1]
      return colour === undefined ? now : {...now, colour}
    }, look)
}

function textElement({column, text, colour, bold, dim}: Stretch, y: number): string {
  const attributes = [
    `x="${(MARGIN_PX + column * COLUMN_PX).toFixed(1)}" y="${y}"`,
    // Whatever monospace font the viewer has, columns stay columns.
    `textLength="${(text.length * COLUMN_PX).toFixed(1)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"`,
    ...(colour === undefined ? [] : [`fill="${colour}"`]),
    ...(bold ? ['font-weight="bold"'] : []),
    ...(dim ? ['opacity="0.6"'] : []),
  ]
  return `<text ${attributes.join(' ')}>${escapeXml(text)}</text>`
}

function escapeXml(raw: string): string {
  return raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(pictureOf(await text(process.stdin), process.argv[2]))
}
