import DOMPurify from 'dompurify';

// Nothing that a page could load something with, and no styles: the Content-Security-Policy forbids both as well.
const options = {
  ALLOWED_TAGS: ['a', 'p', 'br', 'hr', 'strong', 'em', 's', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'h1', 'h2', 'h3',
    'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'div', 'span', 'button'],
  ALLOWED_ATTR: ['href', 'target', 'rel', 'title', 'class', 'start', 'type', 'tabindex', 'align'],
  ALLOW_DATA_ATTR: true,
  ADD_ATTR: ['target'],
};

export const sanitize = (html: string): string => DOMPurify.sanitize(html, options);
