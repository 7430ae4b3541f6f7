/** One setting as `containerd config dump` must show it; `section` without quotes, empty for the top. */
export interface WantedSetting {
  readonly section: string
  readonly key: string
  readonly value: string | boolean
}

export interface SettingMismatch extends WantedSetting {
  /** What the dump shows; undefined: nothing. */
  readonly found: string | undefined
}

/** Scalar settings of the TOML that containerd prints, by `<section>.<key>`; quotes are taken off both. */
export function parseDump(text: string): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  let section = ''
  for (const line of text.split('\n')) {
    const header = /^\s*\[(.+)\]\s*$/.exec(line)?.[1]
    if (header !== undefined) {
      section = `${header.replaceAll(/['"]/g, '')}.`
      continue
    }
    const [, key, value] = /^\s*(\w+) = (.*)$/.exec(line) ?? []
    if (key !== undefined && value !== undefined)
      settings.set(section + key, value.replace(/^(['"])(.*)\1$/, '$2'))
  }
  return settings
}

/** Settings that containerd did not take, whatever its file says. */
export function mismatches(
  wanted: readonly WantedSetting[],
  dump: ReadonlyMap<string, string>,
): readonly SettingMismatch[] {
  return wanted.flatMap((setting) => {
    const found = dump.get(settingName(setting))
    return found === String(setting.value) ? [] : [{...setting, found}]
  })
}

/** `plugins.io.containerd.cri.v1.runtime.enable_criu`. */
export const settingName = ({section, key}: WantedSetting): string =>
  section === '' ? key : `${section}.${key}`

/** `… is false, true is wanted`. */
export const describeMismatch = (mismatch: SettingMismatch): string =>
  `${settingName(mismatch)} is ${mismatch.found ?? 'absent'}, expected ${String(mismatch.value)}`
