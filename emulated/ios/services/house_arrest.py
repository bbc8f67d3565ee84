"""house_arrest gives a client the files of one app, then speaks AFC."""

from __future__ import annotations

from emulated.ios.connection import Connection
from emulated.ios.phone import Phone
from emulated.ios.services.afc import Session
from emulated.ios.services.afc_files import Files
from emulated.ios.services.afc_paths import Paths

DOCUMENTS = "Documents"


async def serve(phone: Phone, connection: Connection) -> None:
    """Answer one request, then work on the files that it asked for."""
    request = await connection.read_plist()
    if request is None:
        return
    app = phone.apps.get(str(request.get("Identifier")))
    command = request.get("Command")
    # What an app shares is its Documents; all of it is only for the developer who signed it.
    if command not in ("VendDocuments", "VendContainer"):
        error = "InvalidCommand"
    elif app is None:
        error = "ApplicationLookupFailed"
    elif not (app.file_sharing if command == "VendDocuments" else app.developer and not app.system):
        error = "InstallationLookupFailed"
    else:
        visible = (DOCUMENTS,) if command == "VendDocuments" else ()
        await connection.write_plist({"Status": "Complete"})
        await Session(phone, connection, Files(phone, Paths(app.container, visible))).run()
        return
    await connection.write_plist({"Error": error})


async def serve_media(phone: Phone, connection: Connection) -> None:
    """com.apple.afc: the phone's media folder, where apps are put that are to be installed."""
    await _serve_folder(phone, connection, "Media")


async def serve_crash_reports(phone: Phone, connection: Connection) -> None:
    """com.apple.crashreportcopymobile: what crashed before."""
    await _serve_folder(phone, connection, "CrashReports")


async def _serve_folder(phone: Phone, connection: Connection, name: str) -> None:
    folder = phone.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    await Session(phone, connection, Files(phone, Paths(folder))).run()
