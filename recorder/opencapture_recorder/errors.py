"""The recorder's expected failures; their text is shown to the SDK and holds no secret.

RecorderError
├── SettingsError      an OPENCAPTURE_… variable is wrong; names it
├── SourceError        a screen, microphone or file cannot be read
├── CommandError       a command from the SDK is wrong; names the parameter
└── ServerError        the server could not be reached or answered with an error
    └── Refused        it will never accept this channel or session; do not try again
"""


class RecorderError(Exception):
    """Base of every failure that is answered or reported, never a crash."""


class SettingsError(RecorderError):
    pass


class SourceError(RecorderError):
    pass


class CommandError(RecorderError):
    pass


class ServerError(RecorderError):
    pass


class Refused(ServerError):
    pass
