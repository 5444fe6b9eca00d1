import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { defineConfig } from 'vite';
import { singlePage } from './build/single_page';
import { examples } from './build/source_hash';

const server = process.env['TESSERA_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: './',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  resolve: { alias: { react: 'preact/compat', 'react-dom': 'preact/compat' } },
  build: {
    outDir: 'out',
    target: ['chrome111', 'firefox115', 'safari16.4'],
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: true,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: 'main.js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  worker: { format: 'es' },
  plugins: [
    {
      name: 'example',
      buildStart: () => {
        rmSync('public/examples', { recursive: true, force: true });
        mkdirSync('public/examples', { recursive: true });
        for (const name of examples) copyFileSync(`../examples/${name}`, `public/examples/${name}`);
      },
    },
    singlePage(),
  ],
  server: { proxy: Object.fromEntries(['/v1', '/health', '/props', '/slots', '/metrics', '/logs'].map((path) => [path, server])) },
});
