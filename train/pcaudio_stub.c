// Stands in for libpcaudio: libespeak-ng is linked against a sound card's library that training does not need.
void* create_audio_device_object(const char* device, const char* name, const char* about) { return 0; }
int audio_object_open(void* o, int format, unsigned rate, unsigned char channels) { return -1; }
void audio_object_close(void* o) {}
void audio_object_destroy(void* o) {}
int audio_object_write(void* o, const void* data, unsigned long bytes) { return 0; }
int audio_object_drain(void* o) { return 0; }
int audio_object_flush(void* o) { return 0; }
const char* audio_object_strerror(void* o, int code) { return ""; }
