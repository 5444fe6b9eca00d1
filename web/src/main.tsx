import { render } from 'preact';
import { loadAll } from './model/state';
import { deleteOrphans } from './model/store';
import { watchServer } from './net/server';
import { strings } from './strings';
import './styles/base.css';
import './styles/layout.css';
import './styles/message.css';
import './styles/composer.css';
import './styles/dialogs.css';
import './styles/first_run.css';
import './styles/inspect.css';
import './styles/tokens.css';
import './styles/status.css';
import { App } from './ui/app';
import { watchCameras } from './ui/camera';
import { watchRoute } from './ui/route';
import { loadDraftSettings } from './ui/settings_panel';
import { toast, watchDevice } from './ui/view';

watchDevice();
loadDraftSettings();
watchServer();
watchCameras();
// Where nothing takes a file, the browser would leave the page for it.
for (const name of ['dragover', 'drop']) addEventListener(name, (event) => (event as DragEvent).dataTransfer?.types.includes('Files') && event.preventDefault());
render(<App />, document.getElementById('app') as HTMLElement);
loadAll()
  .then(deleteOrphans)
  .catch((error: Error) => toast(strings.errors.storage(error.message), true))
  .finally(watchRoute);
