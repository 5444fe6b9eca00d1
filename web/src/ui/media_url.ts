import { useEffect, useState } from 'preact/hooks';
import { getMedia } from '../model/store';

/** An address for stored bytes, for as long as the component lives. undefined: not yet; null: the bytes are gone. */
export function useMediaUrl(id: string): string | null | undefined {
  const [url, setUrl] = useState<string | null>();
  useEffect(() => {
    let made = '';
    let over = false;
    void getMedia(id).then((blob) => {
      if (over) return;
      made = blob ? URL.createObjectURL(blob) : '';
      setUrl(made || null);
    });
    return () => {
      over = true;
      if (made) URL.revokeObjectURL(made);
    };
  }, [id]);
  return url;
}
