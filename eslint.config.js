import tseslint from 'typescript-eslint'

const noSleep = {
  selector: "CallExpression[callee.name='setTimeout'][arguments.length=2]",
  message: 'waiting is waitFor() or retry() of src/base/waiting.ts',
}

export default tseslint.config(
  {ignores: ['dist/**', 'node_modules/**', 'coverage/**']},
  ...tseslint.configs.strictTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: {project: './tsconfig.check.json', tsconfigRootDir: import.meta.dirname},
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true, allowBoolean: true}],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        {ignoreRestSiblings: true, varsIgnorePattern: '^_', argsIgnorePattern: '^_'},
      ],
      'no-empty': ['error', {allowEmptyCatch: false}],
      '@typescript-eslint/no-confusing-void-expression': ['error', {ignoreArrowShorthand: true}],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/cli/**', 'src/wiring.ts', 'src/commands/**', 'src/programs/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-syntax': ['error', noSleep],
      'no-restricted-properties': [
        'error',
        {object: 'process', property: 'cwd', message: 'paths come from cli or wiring.ts'},
        {object: 'process', property: 'env', message: 'the environment is read in cli and wiring.ts'},
        {object: 'process', property: 'exit', message: 'only bin and cli end the process'},
      ],
    },
  },
  {files: ['**/*.js'], ...tseslint.configs.disableTypeChecked},
)
